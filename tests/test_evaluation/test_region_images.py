"""Images without annotations: their random regions, what is measured on them, and what is refused."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mmdecouple.evaluation import ContextShift, IntraCouplingRatio, ProbeDataset, RegionImages, measure_model
from mmdecouple.evaluation.probes.suites import probe_config, region_probe
from mmdecouple.evaluation.region_images import random_regions
from mmdecouple.registry import DATASETS
from mmdecouple.runs.packing import Packing, Storage, list_source
from mmdecouple.utils.data_spec import DataSpec
from mmdecouple.visualization.runs import Run, check_same_draws

from .toys import GlobalModel, PixelModel, ToyObjects

SIZES = [(60, 80), (90, 64), (64, 64), (120, 50), (75, 75), (64, 100), (80, 80), (66, 70)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of several sizes, kinds of pixels and formats."""
    folder, rng = tmp_path_factory.mktemp('photos'), np.random.default_rng(0)
    modes = 'RGB', 'L', 'RGBA', 'P', 'CMYK', 'I;16', '1', 'RGB'
    for place, ((height, width), mode) in enumerate(zip(SIZES, modes)):
        blocks = rng.integers(0, 256, (height // 10, width // 10, 3), np.uint8)
        pixels = cv2.resize(blocks, (width, height))
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 if mode == 'I;16' else pixels)
        image = image if image.mode == mode else image.convert(mode)
        image.save(folder / f'{place}.{"tif" if mode == "CMYK" else "png"}')
    return folder


def build(folder: Path, **more) -> RegionImages:
    return RegionImages(dict(type='ImageDataset', data_root=str(folder)), **more)


def boxes_of(data: RegionImages) -> dict[int, list]:
    return {data.info(place)['image_id']: data.info(place)['boxes'].tolist() for place in range(len(data))}


def test_regions_have_the_sizes_of_cocos_objects_and_lie_inside_the_image() -> None:
    rng = np.random.default_rng(0)
    boxes = np.concatenate([random_regions((300, 500), rng) for _ in range(3000)])
    assert (boxes >= 0).all() and (boxes <= np.array([500, 300] * 2)).all() and len(boxes) == 21000
    width, height = ((boxes[:, 2:] - boxes[:, :2]) / [500, 300]).T
    # Published deciles of COCO's objects (SNIP, CVPR 2018, section 1); boxes cut at the image make the largest smaller.
    assert np.quantile(np.sqrt(width * height), [0.1, 0.5, 0.9]) == pytest.approx([0.024, 0.106, 0.472], rel=0.06)
    uncut = (width < 1) & (height < 1)
    assert np.quantile((width / height)[uncut], [0.01, 0.99]) == pytest.approx([0.25, 2], rel=0.06)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 / [500, 300]
    assert centers.mean(0) == pytest.approx([0.5, 0.5], abs=0.01)


def test_regions_resemble_the_annotated_boxes_of_real_images(coco128: Path) -> None:
    content = json.loads((coco128 / 'annotations' / 'instances_train2017.json').read_text())
    sizes = {image['id']: (image['width'], image['height']) for image in content['images']}
    records = [each for each in content['annotations'] if not each['iscrowd'] and min(each['bbox'][2:]) > 0]
    sides = np.array([np.divide(each['bbox'][2:], sizes[each['image_id']]) for each in records])
    rng = np.random.default_rng(0)
    drawn = np.concatenate([random_regions((1, 1), rng) for _ in range(2000)])
    drawn = drawn[:, 2:] - drawn[:, :2]
    for values, others in ((sides.prod(1), drawn.prod(1)), (sides[:, 0] / sides[:, 1], drawn[:, 0] / drawn[:, 1])):
        deciles = np.log([np.quantile(each, [0.1, 0.3, 0.5, 0.7, 0.9]) for each in (values, others)])
        assert np.abs(deciles[0] - deciles[1]).max() < 0.4


def test_regions_depend_on_the_seed_and_the_image_alone(folder: Path) -> None:
    data, again, other, few = build(folder), build(folder), build(folder, seed=1), build(folder, limit=3)
    assert boxes_of(data) == boxes_of(again) and data.name == again.name
    assert boxes_of(data) != boxes_of(other) and data.name != other.name != few.name
    assert len(few) == 3 and boxes_of(few).items() <= boxes_of(data).items()
    for place in range(len(data)):
        info, item = data.info(place), data.objects(place)
        assert item.image.shape == (info['height'], info['width'], 3) and item.image.dtype == np.uint8
        assert item.masks.sum((1, 2)) == pytest.approx(info['areas'], rel=0.2, abs=60)


def test_a_list_and_a_pack_give_the_regions_of_their_folder(folder: Path, tmp_path: Path) -> None:
    (folder / 'some.txt').write_text('\n'.join(sorted(path.name for path in folder.glob('?.*'))))
    Packing(tmp_path / 'pack', *list_source(DataSpec('folder', str(folder))), Storage(), 1 << 20).run(
        1, Console(quiet=True)
    )
    expected = boxes_of(build(folder))
    for kind, path in (('list', folder / 'some.txt'), ('pack', tmp_path / 'pack')):
        assert boxes_of(DATASETS.build(region_probe(DataSpec(kind, str(path)))['objects'])) == expected


def test_measures_of_classes_are_left_out_and_keys_say_regions(folder: Path) -> None:
    probes = DATASETS.build(probe_config(f'folder:{folder}', {}, size=64, cell=8, limit=8))
    left_out = [note.partition(':')[0] for note in probes.metainfo['notes'] if 'requires annotated objects' in note]
    assert left_out == ['OKNN', 'InterCouplingRatio', 'BackgroundLeak']
    names = ['IntraCouplingRatio', 'ContextShift']
    probes = DATASETS.build(probe_config(f'folder:{folder}', {}, size=64, cell=8, measures=names))
    reports = [measure_model(model(), probes) for model in (PixelModel, GlobalModel)]
    assert list(reports[0]['metrics']) == [
        'cr_intra_regions_pixel',
        'cr_intra_regions_cell',
        'context_shift_regions',
        'context_shift_regions_raw',
    ]
    for key in ('context_shift_regions', 'cr_intra_regions_cell'):
        pixel, whole = (report['metrics'][key]['value'] for report in reports)
        assert whole > 5 * pixel, 'a network of single pixels depends on its surroundings at the edge of a region only'


def test_regions_and_objects_are_never_mixed(folder: Path) -> None:
    regions, objects = dict(type='ContextShift', of='regions'), dict(type='ContextShift')
    for data, measure, reason in (
        (build(folder), objects, 'requires annotated objects, and images-regions-'),
        (ToyObjects(), regions, "draws regions, and toy0 has annotated objects; omit of='regions'"),
    ):
        with pytest.raises(ValueError, match=f'nothing to measure: ContextShift: left out, as it {reason}'):
            ProbeDataset(data, measures=[measure], size=56, cell=8)
    for kind in (ContextShift, IntraCouplingRatio):
        with pytest.raises(ValueError, match=f"{kind.__name__}: of must be 'objects' or 'regions', got 'boxes'"):
            kind(of='boxes')
    probes = [ProbeDataset(build(folder, seed=seed), measures=[regions], size=56, cell=8) for seed in (0, 1)]
    runs = [Run(str(seed), dict(manifest_sha256=each.metainfo['manifest_sha256'])) for seed, each in enumerate(probes)]
    with pytest.raises(ValueError, match='were measured on different draws'):
        check_same_draws(runs)


def test_what_is_no_folder_is_refused_in_one_line(folder: Path) -> None:
    for path in (folder / 'absent', folder / '0.png'):
        with pytest.raises(FileNotFoundError, match=rf"^RegionImages: .*folder '{path}' does not exist.*\(--data\)\.$"):
            DATASETS.build(region_probe(DataSpec('folder', str(path)))['objects'])


def test_images_that_cannot_be_measured_are_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    names = ['0.png', '2.png', '3.png']
    for name in names:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / 'a.jpg').write_bytes(b'no image')
    (tmp_path / 'b.png').write_bytes((folder / '1.png').read_bytes()[:-400])
    Image.new('RGB', (31, 400)).save(tmp_path / 'c.png')
    data = build(tmp_path, name='mine')
    assert len(data) == 3 and data.notes[0].startswith('mine: 3 of 6 images without annotations')
    assert data.notes[1].startswith('mine: 3 images are left out, the first: ')
    (tmp_path / '2.png').write_bytes(b'')
    with pytest.raises(ValueError, match=r"2.png' was readable at the start.*\(the file is empty\)"):
        data.objects(1)
    for name in names[:2]:
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=r'RegionImages: 1 of 4 images of mine can be measured, but at least two are .*'
                       r"the first of the others: \S+[abc]\.\w+' .*Name more images") as error:  # fmt: skip
        build(tmp_path, name='mine')
    assert '\n' not in str(error.value)
