"""Data sets in their published layouts, made small."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmdecouple.datasets.scenes import SceneSpec
from mmdecouple.datasets.scenes.export import export
from mmdecouple.evaluation.segmentation import IGNORE, SegmentationImages, open_source
from mmdecouple.evaluation.segmentation.label_classes import ADE_CLASSES, CITYSCAPES, COCO_STUFF_15
from mmdecouple.utils.errors import MAX_LENGTH, UserError


def write(path, values, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8))
    if palette:
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(path)


def photo(path, size=(6, 8)):
    write(path, np.full((*size, 3), 90))


@pytest.fixture
def voc(tmp_path):
    base = tmp_path / 'VOCdevkit' / 'VOC2012'
    lists = base / 'ImageSets' / 'Segmentation'
    lists.mkdir(parents=True)
    for i, name in enumerate(('x1', 'x2', 'x3')):
        photo(base / 'JPEGImages' / f'{name}.jpg')
        labels = np.full((6, 8), i)
        labels[0] = IGNORE
        write(base / 'SegmentationClass' / f'{name}.png', labels, palette=True)
        write(base / 'SegmentationClassAug' / f'{name}.png', labels + (labels < IGNORE))
    (lists / 'train.txt').write_text('x1\n')
    (lists / 'val.txt').write_text('x3\n')
    return tmp_path


def test_voc_is_found_from_each_of_its_folders_and_palette_labels_are_indices(voc):
    for folder in (voc, voc / 'VOCdevkit', voc / 'VOCdevkit' / 'VOC2012'):
        source = open_source(f'voc:{folder}', 'val')
        assert len(source) == 1 and len(source.classes) == 21
        assert np.unique(np.asarray(source.read(0)[1])).tolist() == [2, IGNORE]


def test_gray_maps_of_fewer_bits_and_lists_with_repeats_are_refused(voc, tmp_path):
    base = voc / 'VOCdevkit' / 'VOC2012'
    path = base / 'SegmentationClass' / 'x3.png'
    # 4 bits a pixel: Pillow multiplies the values by 17.
    lines = b''.join(b'\0' + bytes([0x12, 0x30, 0x12, 0x30]) for _ in range(6))
    header = struct.pack('>IIBBBBB', 8, 6, 4, 0, 0, 0, 0)
    chunks = [(b'IHDR', header), (b'IDAT', zlib.compress(lines)), (b'IEND', b'')]
    packed = [
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(packed))
    with pytest.raises(UserError, match='x3.png has 4 bits per pixel'):
        open_source(f'voc:{voc}', 'val').read(0)
    (base / 'ImageSets' / 'Segmentation' / 'val.txt').write_text('x3\nx3\n')
    with pytest.raises(UserError, match="val.txt lists 'x3' more than once"):
        open_source(f'voc:{voc}', 'val')


def test_voc_trains_on_the_augmented_list_in_either_form_and_says_so_when_it_is_missing(voc):
    plain = open_source(f'voc:{voc}', 'train')
    assert len(plain) == 1 and 'not comparable' in plain.notes[0]
    lists = voc / 'VOCdevkit' / 'VOC2012' / 'ImageSets' / 'Segmentation'
    for text in ('x1\nx2\n', '/JPEGImages/x1.jpg /SegmentationClassAug/x1.png\n/JPEGImages/x2.jpg /Y/x2.png\n'):
        (lists / 'trainaug.txt').write_text(text)
        source = open_source(f'voc:{voc}', 'train')
        assert source.name == 'voc12-trainaug' and not source.notes
        assert [np.asarray(source.read(i)[1])[1, 0] for i in range(2)] == [1, 2]


def test_the_stuff_table_holds_each_id_from_92_to_182_once_and_classes_in_alphabetic_order():
    assert sorted(sum(COCO_STUFF_15.values(), ())) == list(range(92, 183))
    assert list(COCO_STUFF_15) == sorted(COCO_STUFF_15) and len(COCO_STUFF_15) == 15


# COCO-Stuff's hierarchy of names, github.com/nightrome/cocostuff.
STUFF = {
    'building': 'bridge building-other house roof skyscraper tent',
    'ceiling': 'ceiling-other ceiling-tile',
    'floor': 'carpet floor-marble floor-other floor-stone floor-tile floor-wood',
    'food-stuff': 'food-other fruit salad vegetable',
    'furniture-stuff': 'cabinet counter cupboard desk-stuff door-stuff furniture-other light mirror-stuff shelf stairs '
    'table',
    'ground': 'dirt gravel ground-other mud pavement platform playingfield railroad road sand snow',
    'plant': 'branch bush flower grass leaves moss plant-other straw tree',
    'raw-material': 'cardboard metal paper plastic',
    'sky': 'clouds sky-other',
    'solid': 'hill mountain rock solid-other stone wood',
    'structural': 'cage fence net railing structural-other',
    'textile': 'banner blanket cloth clothes curtain mat napkin pillow rug textile-other towel',
    'wall': 'wall-brick wall-concrete wall-other wall-panel wall-stone wall-tile wall-wood',
    'water': 'fog river sea water-other waterdrops',
    'window': 'window-blind window-other',
}


def test_the_stuff_table_is_the_hierarchy_of_names():
    from mmseg.datasets import COCOStuffDataset

    names = COCOStuffDataset.METAINFO['classes'][80:]
    assert {
        group: tuple(sorted(92 + names.index(name) for name in members.split())) for group, members in STUFF.items()
    } == COCO_STUFF_15


@pytest.mark.parametrize(
    'content',
    [b'{"0": "a", "2": "b"}', b'["a"]', b'{"0": 1}', b'{"0": "a"', b'\xff\xfe{', b'{"0": ' + b'[' * 100_000],
    ids=str,
)
def test_a_list_of_classes_that_cannot_be_used_is_refused(tmp_path, content):
    folder = tmp_path / 'semantic'
    folder.mkdir()
    (folder / 'classes.json').write_bytes(content)
    with pytest.raises(UserError, match='classes.json') as error:
        open_source(f'scenes:{tmp_path}', 'val')
    assert '\n' not in str(error.value) and len(str(error.value)) < MAX_LENGTH


def test_stuff_maps_lose_things_and_other_and_a_tenth_of_the_images_is_trained_on(tmp_path):
    for split, count in (('train', 20), ('val', 2)):
        for i in range(count):
            photo(tmp_path / f'{split}2017' / f'{i:012d}.jpg', (1, 6))
            write(
                tmp_path / 'annotations' / f'stuff_{split}2017_pixelmaps' / f'{i:012d}.png',
                [[0, 92, 182, 183, 124, 106]],
            )
    train, val = (open_source(f'coco-stuff:{tmp_path}', split) for split in ('train', 'val'))
    assert len(train) == 2 and len(val) == 2 and train.pairs == open_source(f'coco-stuff:{tmp_path}', 'train').pairs
    names = [val.classes[v] if v != IGNORE else None for v in np.asarray(val.read(1)[1])[0]]
    assert names == [None, 'textile', 'solid', None, 'plant', 'sky']
    for i in range(9, 20):
        (tmp_path / 'train2017' / f'{i:012d}.jpg').unlink()
    with pytest.raises(UserError, match='train2017 holds 9 images, of which a tenth is used for training'):
        open_source(f'coco-stuff:{tmp_path}', 'train')


def test_the_classes_of_ade_and_cityscapes_are_those_of_mmseg():
    from mmseg.datasets import ADE20KDataset, CityscapesDataset

    assert tuple(name.strip() for name in ADE20KDataset.METAINFO['classes']) == ADE_CLASSES
    assert tuple(CITYSCAPES) == CityscapesDataset.METAINFO['classes'] and len(set(ADE_CLASSES)) == 150


def test_ade_is_found_from_each_of_its_folders_and_ignores_the_label_0(tmp_path):
    base = tmp_path / 'ADEChallengeData2016'
    for folder, name in (('training', 'ADE_train_1'), ('validation', 'ADE_val_1')):
        photo(base / 'images' / folder / f'{name}.jpg', (1, 4))
        write(base / 'annotations' / folder / f'{name}.png', [[0, 1, 2, 150]])
    for folder in (tmp_path, base):
        source = open_source(f'ade:{folder}', 'val')
        names = [source.classes[v] if v != IGNORE else None for v in np.asarray(source.read(0)[1])[0]]
        assert names == [None, 'wall', 'building', 'flag'] and 'ADE_val_1' in source.pairs[0][0]


def test_cityscapes_scores_nineteen_of_its_ids(tmp_path):
    for split, city in (('train', 'aachen'), ('val', 'bonn')):
        stem = f'{city}_000000_000019'
        write(tmp_path / 'leftImg8bit' / split / city / f'{stem}_leftImg8bit.png', np.full((1, 5, 3), 90))
        write(tmp_path / 'gtFine' / split / city / f'{stem}_gtFine_labelIds.png', [[3, 7, 26, 29, 33]])
        # Beside them are maps of other kinds.
        write(tmp_path / 'gtFine' / split / city / f'{stem}_gtFine_instanceIds.png', [[0] * 5])
    source = open_source(f'cityscapes:{tmp_path}', 'train')
    names = [source.classes[v] if v != IGNORE else None for v in np.asarray(source.read(0)[1])[0]]
    assert len(source) == 1 and names == [None, 'road', 'car', None, 'bicycle']


def test_index_images_of_coco_have_the_classes_present_in_either_split(coco128):
    train, val = (SegmentationImages(f'coco128:{coco128}', split, size=32, limit=3) for split in ('train', 'val'))
    assert train.classes == val.classes and train.classes[0] == 'person' and len(train) == 3
    pixels, labels = val[0]
    assert pixels.shape == (3, 32, 32) and labels.shape == (32, 32)


def test_exported_scenes_have_the_labels_of_those_in_memory(tmp_path):
    knobs = dict(size=48, seed=4)
    export(tmp_path / 'scenes', SceneSpec(**knobs), dict(train=1, val=3))
    read = open_source(f'scenes:{tmp_path / "scenes"}', 'val')
    drawn = open_source('scenes', 'val', knobs)
    assert len(read) == 3 and read.classes == drawn.classes and read.size == drawn.size == 48
    for index in range(3):
        for one, other in zip(read.read(index), drawn.read(index)):
            assert np.array_equal(np.asarray(one), np.asarray(other))


def test_wrong_layouts_files_and_values_are_one_clear_line(voc):
    base = voc / 'VOCdevkit' / 'VOC2012'
    lines = {}

    def refused(kind, data, split='val'):
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            SegmentationImages(data, split)[0]
        lines[kind] = str(error.value)
        assert '\n' not in lines[kind]

    refused('word', 'coco:x')
    refused('path', f'coco-stuff:{voc}')
    refused('split', f'voc:{voc}', 'test')
    labels = base / 'SegmentationClass' / 'x3.png'
    write(labels, np.full((6, 8), 40))
    refused('value', f'voc:{voc}')
    write(labels, np.zeros((5, 8)))
    refused('size', f'voc:{voc}')
    photo(labels)
    refused('mode', f'voc:{voc}')
    labels.write_bytes(labels.read_bytes()[:40])
    refused('broken', f'voc:{voc}')
    labels.unlink()
    refused('missing', f'voc:{voc}')
    os.mkfifo(labels)
    refused('fifo', f'voc:{voc}')
    (base / 'ImageSets' / 'Segmentation' / 'val.txt').write_bytes(b'x3\n\xe9\n')
    refused('list', f'voc:{voc}')
    for kind, part in dict(
        word='coco cannot be used here',
        path='does not have the expected layout',
        split="'train' or 'val'",
        value='holds the value 40',
        size='8 x 5 pixels, its image 8 x 6',
        mode='mode RGB',
        broken='is not a readable label map',
        missing='1 of 1 label maps do not exist',
        fifo='not an ordinary file',
        list='is not UTF-8: byte 3',
    ).items():
        assert part in lines[kind], kind
