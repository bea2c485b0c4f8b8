"""Pipelines of the methods as named functions of an index, which `data.py` measures."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mmdecouple.datasets import ImageDataset, SceneImages, SeededDataset, ShardedImages
from mmdecouple.datasets.selective_search import filter_proposals, selective_search
from mmdecouple.datasets.transforms import defer_photometric, defer_views
from mmdecouple.utils.configs import load_config

Load = Callable[[int], object]
DECODE, MOCO, IBOT = 'decode alone', 'MoCo v2, 2 views of 224', 'iBOT, 2 views of 224'


def two_views(size: int, photometric: bool, interpolation: str = 'bilinear') -> list[dict]:
    """Returns the pipeline of MoCo v2, or its geometric part."""
    colors = [
        dict(type='mmdecouple.RandomColorJitter'),
        dict(type='mmdecouple.RandomGrayscale'),
        dict(type='mmdecouple.RandomGaussianBlur'),
    ]
    view = [
        dict(type='mmdecouple.RandomResizedCropView', size=size, interpolation=interpolation),
        *(colors if photometric else []),
        dict(type='mmdecouple.RandomFlipView'),
    ]
    return [dict(type='mmdecouple.MultiView', views=[view], num_views=[2]), dict(type='mmdecouple.PackViews')]


def shipped(name: str, proposals: dict | None = None) -> list[dict]:
    """Returns the pipeline of a base config; `proposals` replaces its first step, which reads a file."""
    pipeline = load_config(f'mmdecouple::_base_/datasets/{name}.py').train_dataloader.dataset.pipeline
    return [proposals, *pipeline[1:]] if proposals else pipeline


def select(results: dict) -> int:
    """Returns the number of proposals that selective search finds in an image."""
    return len(filter_proposals(selective_search(results['img']), results['ori_shape']))


def write_photos(folder: Path, count: int = 16) -> None:
    """Writes JPEG files of 640 x 480 pixels at quality 90 with the detail of a photograph."""
    rng = np.random.default_rng(0)
    for index in range(count):
        image = np.zeros((480, 640, 3), np.float32)
        for cells in (4, 16, 64, 240):
            noise = rng.normal(0, 1, (cells * 3 // 4, cells, 3)).astype(np.float32)
            image += cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC) / cells**0.4
        image = np.clip(128 + 60 * image, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f'{index:02}.jpg'), image, [cv2.IMWRITE_JPEG_QUALITY, 90])


def main_rows(folder: str) -> dict[str, Load]:
    """Returns the rows of the files of a folder, see `_rows`."""
    return _rows(lambda pipeline: ImageDataset(pipeline, data_root=folder))


def packed_rows(pack: str) -> dict[str, Load]:
    """Returns the rows of the images of a pack, see `_rows`."""
    rows = _rows(lambda pipeline: ShardedImages(pipeline, root=pack))
    return {f'packed: {name}': load for name, load in rows.items()}


def _rows(make: Callable[[list], SeededDataset]) -> dict[str, Load]:
    """Returns decoding alone, and the views of MoCo v2 and iBOT, by the loader alone or with the device."""
    pipelines = {MOCO: two_views(224, True), IBOT: shipped('coco_ibot')}
    rows = {DECODE: _load(make([])), '2 views of 224, crop and flip': _load(make(two_views(224, False)))}
    for name, pipeline in pipelines.items():
        rows[name] = _load(make(pipeline))
        for what, defer in (('colors', defer_photometric), ('views', defer_views)):
            dataset = make(pipeline)
            defer(dataset.pipeline)
            rows[f'{name}, {what} on the device'] = _load(dataset)
    return rows


def other_rows(folder: str) -> dict[str, Load]:
    """Returns the views of the other methods, selective search and the built-in scenes."""
    scenes = dict(size=96)
    pipelines = {
        '2 views of 224, bicubic crop and flip': two_views(224, False, 'bicubic'),
        'iBOT, 2 views of 224 and 4 of 96': shipped('coco_ibot_multicrop'),
        'MaskAlign, 1 view of 224': shipped('coco_maskalign'),
        'SoCo-C4, 2 views of 224 with 4 boxes': shipped('coco_soco_c4', proposals=dict(type='GridProposals')),
        'Leopart, 2 views of 224 and 4 of 96': shipped('coco_leopart'),
        'selective search': [select],
    }
    return {
        **{name: _load(ImageDataset(pipeline, data_root=folder)) for name, pipeline in pipelines.items()},
        'scenes of 96, painted alone': _load(SceneImages(512, [], scenes=scenes)),
        'scenes of 96, 2 views of 64': _load(SceneImages(512, two_views(64, True), scenes=scenes)),
    }


def _load(dataset: SeededDataset) -> Load:
    return lambda index: dataset[divmod(index, len(dataset))]
