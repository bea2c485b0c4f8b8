"""Segmentation data sets by specification, as in `--data voc:ROOT`."""

from collections import Counter
from pathlib import Path

import numpy as np
from msgspec import DecodeError
from msgspec import json as strict_json

from mmdecouple.datasets.annotation_refusals import check_utf8
from mmdecouple.datasets.annotations import CategoryFile, read_coco, read_text_file
from mmdecouple.datasets.scenes.settings import scene_settings
from mmdecouple.evaluation.segmentation.label_classes import (
    ADE_CLASSES,
    CAMVID_CLASSES,
    CITYSCAPES,
    COCO_STUFF_15,
    VOC_CLASSES,
    label_table,
)
from mmdecouple.evaluation.segmentation.label_sources import IGNORE, LabelFiles, LabelSource, SceneLabels, read_labels
from mmdecouple.utils.data_spec import LABELS, read_spec
from mmdecouple.utils.errors import MissingFile, UserError, shown

SCENE_COUNTS = dict(train=1000, val=300)
STUFF_TRAIN_SHARE = 0.1


def open_source(data: str, split: str, scenes: dict | None = None) -> LabelSource:
    """Returns the images and label maps of one split.

    Args:
        data: Specification of the data, see `read_spec`, of a kind in `LABELS`. Scenes are rendered in memory, unless
            they name an export.
        split: `train` or `val`.
        scenes: Settings of scenes without a config; None for the defaults.

    Raises:
        MissingFile: The path does not have the expected layout.
        UserError: `data` or `split` is unknown.
    """
    if split not in ('train', 'val'):
        raise UserError(f"SegmentationImages: split must be 'train' or 'val', got {split!r} (config key split).")
    spec = read_spec(data, LABELS)
    if spec.kind == 'scenes' and not spec.is_export:
        return SceneLabels(SCENE_COUNTS[split], split, scene_settings(spec, {}) if spec.path else scenes)
    layouts = {
        'voc': voc,
        'ade': ade,
        'cityscapes': cityscapes,
        'camvid': camvid,
        'coco-stuff': coco_stuff,
        'coco128': coco128,
        'scenes': exported_scenes,
    }
    return layouts[spec.kind](Path(spec.path), split)


def voc(root: Path, split: str) -> LabelFiles:
    """Returns PASCAL VOC 2012 with 21 classes, including background.

    Args:
        root: `VOC2012`, `VOCdevkit`, or the folder that contains `VOCdevkit`; augmented labels are in
            `SegmentationClassAug`.
        split: `train` for `trainaug` if it exists, else for `train`; or `val`.

    Raises:
        MissingFile: The layout or the list of images is missing.
    """
    base = _first_folder(root, ('', 'VOC2012', 'VOCdevkit/VOC2012'), 'ImageSets/Segmentation', 'VOC')
    lists, notes, name, folder = base / 'ImageSets' / 'Segmentation', (), split, 'SegmentationClass'
    if split == 'train' and (lists / 'trainaug.txt').is_file():
        name, folder = 'trainaug', 'SegmentationClassAug'
    elif split == 'train':
        notes = (
            'VOC: ImageSets/Segmentation/trainaug.txt is missing; heads are trained on the smaller train.txt, so that '
            'the numbers are not comparable with published ones.',
        )
    if not (lists / f'{name}.txt').is_file():
        raise MissingFile(f'VOC: {lists / name}.txt does not exist; complete the data set.')
    # Published lists of the augmented set have either one id or two paths per line.
    path = str(lists / f'{name}.txt')
    lines = check_utf8(read_text_file(path, 'list of images'), path).splitlines()
    ids = [Path(line.split()[0]).name.removesuffix('.jpg') for line in lines if line.strip()]
    if repeated := [i for i, count in Counter(ids).items() if count > 1]:
        raise UserError(f'VOC: {path} lists {shown(repeated[0])} more than once; list each image once.')
    pairs = [(str(base / 'JPEGImages' / f'{i}.jpg'), str(base / folder / f'{i}.png')) for i in ids]
    return LabelFiles(f'voc12-{name}', VOC_CLASSES, pairs, notes=notes)


def ade(root: Path, split: str) -> LabelFiles:
    """Returns the scene parsing benchmark of ADE20K with 150 classes; other pixels are ignored.

    Args:
        root: `ADEChallengeData2016`, or the folder that contains it.
        split: `train` or `val`.

    Raises:
        MissingFile: The path does not have the expected layout.
    """
    base = _first_folder(root, ('', 'ADEChallengeData2016'), 'annotations', 'ADE20K')
    folder = dict(train='training', val='validation')[split]
    labels = sorted((base / 'annotations' / folder).glob('*.png'))
    pairs = [(str(base / 'images' / folder / f'{path.stem}.jpg'), str(path)) for path in labels]
    table = label_table([(label,) for label in range(1, len(ADE_CLASSES) + 1)], IGNORE)
    return LabelFiles(f'ade20k-{split}', ADE_CLASSES, pairs, table)


def cityscapes(root: Path, split: str) -> LabelFiles:
    """Returns the fine annotations of Cityscapes with 19 classes; other pixels are ignored.

    Args:
        root: Folder with `leftImg8bit` and `gtFine`.
        split: `train` or `val`.

    Raises:
        MissingFile: The path does not have the expected layout.
    """
    base, end = _first_folder(root, ('',), 'gtFine', 'Cityscapes'), '_gtFine_labelIds.png'
    pairs = []
    for path in sorted((base / 'gtFine' / split).glob(f'*/*{end}')):
        image = base / 'leftImg8bit' / split / path.parent.name / f'{path.name.removesuffix(end)}_leftImg8bit.png'
        pairs.append((str(image), str(path)))
    table = label_table([(value,) for value in CITYSCAPES.values()], IGNORE)
    return LabelFiles(f'cityscapes-{split}', tuple(CITYSCAPES), pairs, table)


def coco_stuff(root: Path, split: str) -> LabelFiles:
    """Returns COCO-Stuff with 15 super-categories; things and `other` are ignored.

    The training split is a fixed tenth of train2017.

    Args:
        root: Folder with `train2017` and `val2017`, and with `stuff_{train,val}2017_pixelmaps` there or in
            `annotations`.
        split: `train` or `val`.

    Raises:
        MissingFile: The path does not have the expected layout.
        UserError: There are fewer than ten training images.

    Source: `MkuuWaUjinga/leopart` `data/coco/coco_data_module.py`, which draws another tenth in every run.
    """
    name = f'{split}2017'
    images = _first_folder(root, ('', 'images', 'coco/images'), name, 'COCO-Stuff') / name
    maps = f'stuff_{name}_pixelmaps'
    labels = (
        _first_folder(
            root,
            ('', 'annotations', 'annotations/stuff_annotations', 'annotations/annotations/stuff_annotations'),
            maps,
            'COCO-Stuff',
        )
        / maps
    )
    names = sorted(path.stem for path in images.glob('*.jpg'))
    if split == 'train':
        chosen = np.random.default_rng(0).permutation(len(names))[: int(len(names) * STUFF_TRAIN_SHARE)]
        if names and not len(chosen):
            raise UserError(
                f'COCO-Stuff: {images} holds {len(names)} images, of which a tenth is used for training; provide at '
                'least 10.'
            )
        names = [names[i] for i in sorted(chosen)]
    pairs = [(str(images / f'{stem}.jpg'), str(labels / f'{stem}.png')) for stem in names]
    return LabelFiles(
        f'coco-stuff15-{name}', tuple(COCO_STUFF_15), pairs, label_table(list(COCO_STUFF_15.values()), IGNORE)
    )


def coco128(root: Path, split: str) -> LabelFiles:
    """Returns COCO images with index images of panoptic category ids; the classes are the ids in either split.

    Args:
        root: Folder with `{train,val}2017`, `semantic/{train,val}2017` (0 is unlabelled and ignored) and, for the names
            of things, `annotations/instances_val2017.json`.
        split: `train` or `val`.

    Raises:
        MissingFile: The path does not have the expected layout.
    """
    semantic = _first_folder(root, ('',), 'semantic', 'coco128') / 'semantic'
    maps = {name: sorted((semantic / f'{name}2017').glob('*.png')) for name in ('train', 'val')}
    present = set()
    for path in (*maps['train'], *maps['val']):
        present.update(value for _, value in read_labels(str(path)).getcolors(256))
    ids = sorted(present - {0})
    annotations = root / 'annotations' / 'instances_val2017.json'
    categories = read_coco(str(annotations), CategoryFile).categories if annotations.is_file() else []
    names = {category.id: category.name for category in categories}
    pairs = [(str(root / f'{split}2017' / f'{path.stem}.jpg'), str(path)) for path in maps[split]]
    return LabelFiles(
        f'{root.name}-{split}2017',
        tuple(names.get(i, f'category {i}') for i in ids),
        pairs,
        label_table([(i,) for i in ids], IGNORE),
    )


def camvid(root: Path, split: str) -> LabelFiles:
    """Returns CamVid with 11 classes as the authors of SegNet divided it; the 233 test images are the validation split.

    Args:
        root: Folder with `images/{train,test}/*.jpg` (or png) and `annotations/{train,test}/*.png`, in which 11 is
            void and ignored.
        split: `train` or `val`.

    Raises:
        MissingFile: The path does not have the expected layout.
    """
    part = {'train': 'train', 'val': 'test'}[split]
    base = _first_folder(root, ('', 'CamVid', 'camvid'), f'annotations/{part}', 'CamVid')
    maps = sorted((base / 'annotations' / part).glob('*.png'))
    images = base / 'images' / part
    png = {path.stem for path in images.glob('*.png')}
    pairs = [(str(images / f'{path.stem}{".png" if path.stem in png else ".jpg"}'), str(path)) for path in maps]
    table = np.arange(256, dtype=np.uint8)
    table[len(CAMVID_CLASSES)] = IGNORE
    return LabelFiles(f'camvid-{part}', CAMVID_CLASSES, pairs, table)


def exported_scenes(root: Path, split: str) -> LabelFiles:
    """Returns the output of `mmdecouple scenes`: label 0 is background, label i + 1 is class i."""
    semantic = _first_folder(root, ('',), 'semantic/classes.json', 'scenes') / 'semantic'
    names = _exported_classes(semantic / 'classes.json')
    pairs = [(str(root / split / path.name), str(path)) for path in sorted((semantic / split).glob('*.png'))]
    source = LabelFiles(f'{root.name}-{split}', names, pairs)
    source.size = min(source.read(0)[0].size)
    return source


def _exported_classes(path: Path) -> tuple[str, ...]:
    try:
        names = strict_json.decode(read_text_file(str(path), 'list of classes'), type=dict[str, str])
        return tuple(names[str(i)] for i in range(len(names)))
    except (DecodeError, KeyError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(
            f'{path} does not map "0", "1", ... to the names of the classes ({str(error)[:80]}); export '
            'the scenes again.'
        ) from error


def _first_folder(root: Path, below: tuple[str, ...], needed: str, layout: str) -> Path:
    for folder in below:
        if (root / folder / needed).exists():
            return root / folder
    looked = ', '.join(str(root / folder / needed) for folder in below)
    raise MissingFile(
        f'{layout}: {root} does not have the expected layout (looked for {looked}); choose another path with --data.'
    )
