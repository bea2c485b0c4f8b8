"""Measures images per second and core for the pipelines of the methods: `python tools/benchmark/data.py`."""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from mmdecouple.datasets import ImageDataset, SceneImages
from mmdecouple.datasets.selective_search import filter_proposals, selective_search
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import real
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.files import check_writable, write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=real(0.01), default=5, help='seconds per row')
    parser.add_argument('--json', help='file for the results')
    return parser.parse_args()


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


def images_per_second(dataset, seconds: float) -> float:
    """Returns the samples per second of processor time that this process loads from a data set."""
    for index in range(min(8, len(dataset))):
        dataset[(0, index)]
    made, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        dataset[(made // len(dataset), made % len(dataset))]
        made += 1
    return made / (time.process_time() - start)


def main() -> None:
    args = parse_args()
    with program():
        if args.json:
            check_writable(args.json)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        scenes = dict(size=96)
        rows = {
            'jpeg 640x480, decode alone': ImageDataset([], data_root=folder),
            'jpeg 640x480, 2 views of 224, crop and flip': ImageDataset(two_views(224, False), data_root=folder),
            'jpeg 640x480, 2 views of 224, bicubic crop and flip': ImageDataset(
                two_views(224, False, 'bicubic'), data_root=folder
            ),
            'jpeg 640x480, 2 views of 224, all': ImageDataset(two_views(224, True), data_root=folder),
            "jpeg 640x480, iBOT's 2 views of 224": ImageDataset(shipped('coco_ibot'), data_root=folder),
            "jpeg 640x480, iBOT's 2 views of 224 and 4 of 96": ImageDataset(
                shipped('coco_ibot_multicrop'), data_root=folder
            ),
            "jpeg 640x480, MaskAlign's view of 224": ImageDataset(shipped('coco_maskalign'), data_root=folder),
            "jpeg 640x480, SoCo-C4's 2 views of 224 with 4 boxes": ImageDataset(
                shipped('coco_soco_c4', proposals=dict(type='GridProposals')), data_root=folder
            ),
            "jpeg 640x480, Leopart's 2 views of 224 and 4 of 96": ImageDataset(
                shipped('coco_leopart'), data_root=folder
            ),
            'jpeg 640x480, selective search': ImageDataset([select], data_root=folder),
            'scenes of 96, painted alone': SceneImages(512, [], scenes=scenes),
            'scenes of 96, 2 views of 64, all': SceneImages(512, two_views(64, True), scenes=scenes),
        }
        speeds = {name: images_per_second(data, args.seconds) for name, data in rows.items()}
    for name, speed in speeds.items():
        print(f'{name:52s}{speed:8.3g} images/s')
    if args.json:
        write_json(args.json, speeds, indent=1)


if __name__ == '__main__':
    main()
