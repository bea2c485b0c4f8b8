"""Foreign surroundings: a region of an image is kept, and everything outside its box comes from another image."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmdecouple.datasets.resizing import resize
from mmdecouple.evaluation.measures.canvas import boxes_mask, compose
from mmdecouple.visualization.sample_images import SampleImage

_SIDE = 0.4
_CENTERS = (0.5, 0.2, 0.8)


class Region(NamedTuple):
    """Region of an image that keeps its pixels.

    Attributes:
        box: x1, y1, x2, y2 as shares of width and height, on whole pixels of the image that the networks receive.
        known: Whether it is the box of an annotated object.
    """

    box: tuple[float, float, float, float]
    known: bool


def regions_of(subject: SampleImage) -> list[Region]:
    """Returns the boxes of the annotated objects of an image, the largest first, and then nine squares.

    The squares have two fifths of the sides of the image and cover it, beginning with its center; they are for points
    outside of all objects, and for images without annotations. A box around the whole image, which has no surroundings,
    is left out.
    """
    squares = [(x - _SIDE / 2, y - _SIDE / 2, x + _SIDE / 2, y + _SIDE / 2) for y in _CENTERS for x in _CENTERS]
    found = [Region(_snapped(box, subject.image), True) for box in dict.fromkeys(subject.boxes)]
    found += [Region(_snapped(box, subject.image), False) for box in squares]
    return [region for region in found if region.box != (0, 0, 1, 1)]


def box_mask(box: tuple[float, float, float, float], size: int) -> np.ndarray:
    """Returns the pixels of a box, bool `(size, size)`.

    Args:
        box: x1, y1, x2, y2 as shares.
        size: Side of the image in pixels.
    """
    return boxes_mask(np.round(np.array([box]) * size), size)


def swap_surroundings(image: np.ndarray, background: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    """Returns `image` inside of a box and `background` outside, as the measure `ContextShift` does.

    Args:
        image: uint8 `(size, size, 3)`.
        background: Image of the same shape.
        box: x1, y1, x2, y2 as shares.
    """
    return compose(image, background, box_mask(box, len(image)))


def kept_patches(box: tuple[float, ...], size: int, grid: tuple[int, int], cell: int) -> np.ndarray:
    """Returns the patches whose pixels are all kept, bool `(h, w)`, after the image is resized to whole cells.

    Args:
        box: x1, y1, x2, y2 as shares.
        size: Side of the image in pixels.
        grid: Height h and width w of the feature map.
        cell: Pixels of a network's input per patch.
    """
    height, width = grid
    pixels = np.repeat(255 * box_mask(box, size)[..., None].astype(np.uint8), 3, axis=2)
    resized = resize(pixels, (height * cell, width * cell))[..., 0]
    return (resized == 255).reshape(height, cell, width, cell).all((1, 3))


def feature_change(own: Tensor, foreign: Tensor) -> np.ndarray:
    """Returns 1 - cos(z, z') of each patch, float32 `(h, w)` in [0, 2].

    Args:
        own: Features z of an image, `(C, h, w)`.
        foreign: Features z' of the image with other surroundings, of the same shape.
    """
    cosine = functional.cosine_similarity(own.double(), foreign.double(), dim=0, eps=1e-24)
    return (1 - cosine).clamp(0, 2).to(torch.float32).cpu().numpy()


def _snapped(box: tuple[float, ...], image: np.ndarray) -> tuple[float, float, float, float]:
    """Extends a box to whole pixels, as `boxes_mask` does, and clips it to the image."""
    size = len(image)
    x1, y1 = (max(int(np.floor(value * size + 1e-6)), 0) / size for value in box[:2])
    x2, y2 = (min(int(np.ceil(value * size - 1e-6)), size) / size for value in box[2:])
    return x1, y1, x2, y2
