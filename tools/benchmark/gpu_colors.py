"""Colors of views that the device changes in batches: speed, and agreement with the loader."""

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch

from mmdecouple.datasets.transforms.photometric import change_image
from mmdecouple.models.photometric import change_colors
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.photometry import encode_operations

_MOST_APART = 2
_STEPS = (
    dict(type='mmdecouple.RandomColorJitter', prob=0.8),
    dict(type='mmdecouple.RandomGrayscale'),
    dict(type='mmdecouple.RandomGaussianBlur', prob=0.5),
    dict(type='mmdecouple.RandomSolarize', prob=0.2),
)


def photometric_rows(args: argparse.Namespace) -> Iterator[dict]:
    """Applies the changes of colors of a batch on the device, and compares its first views with the loader's."""
    count, side, compared = (8, 96, 8) if args.tiny else (2 * args.batch_size, 224, 32)
    np.random.seed(0)
    steps = [TRANSFORMS.build(step) for step in _STEPS]
    drawn = [[operation for step in steps for operation in step.draw()] for _ in range(count)]
    coarse = torch.rand(count, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode='bicubic')
    images = smooth.mul(255).clamp(0, 255).byte()
    views, operations = images.to(args.device), encode_operations(drawn)
    changed = change_colors(views, operations)
    apart = max(_apart(images[place], drawn[place], changed[place]) for place in range(compared))
    begin = time.perf_counter()
    for _ in range(10):
        changed = change_colors(views, operations)
    changed.sum().item()
    seconds = (time.perf_counter() - begin) / 10
    yield dict(
        name=f'colors, blur and solarization of {count} views of {side} pixels',
        passed=apart <= _MOST_APART,
        seconds=seconds,
        values=dict(views_per_second=count / seconds, largest_difference=apart),
        note='difference to the loader in levels',
    )


def _apart(image: torch.Tensor, operations: list, changed: torch.Tensor) -> float:
    pixels = image.permute(1, 2, 0).numpy()
    for operation in operations:
        pixels = change_image(pixels, operation)
    return abs(changed.permute(1, 2, 0).cpu().numpy() - pixels).max().item()
