"""Figures 11 to 13 of the paper, with the arrays behind them."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from mmdecouple.decoupling.composition import mix_pixels
from mmdecouple.evaluation.mask_statistics import collaboration, draw_masks, example_masks
from mmdecouple.masks import RegionCollaborativeCutout
from mmdecouple.utils.errors import UserError

from .batches import decoupled_batch_figure
from .masks import collaboration_figure, mask_types_figure
from .sample_images import read_sample_images

# The paper's own settings.
_RATIO = 0.4
_BOXES = dict(box_area=(0.2, 1.0), aspect=(0.5, 2.0))
_GRIDS = (1, 2, 3, 4, 5, 6)
_REPEATS = 500
_PIXELS = 224
_PATCHES = (14, 14)


def figure_11(seed: int, progress: Callable[[int, int], None]) -> tuple[Figure, dict]:
    """Draw the cut ratio in a region against the number of regions."""
    ratios = collaboration(
        ('rcc', 'cutout', 'rcc_printed'), _GRIDS, _RATIO, (_PIXELS, _PIXELS), _REPEATS, seed, progress, **_BOXES
    )
    numbers = [grid * grid for grid in _GRIDS]
    return collaboration_figure(numbers, ratios, _RATIO), dict(numbers=numbers, **ratios)


def figure_12(seed: int) -> tuple[Figure, dict]:
    """Draw one mask of each type over the same 2 x 2 grid regions."""
    types = ('rectangle', 'random', 'blockwise', 'cutout', 'rcc')
    masks, boxes = example_masks(types, _RATIO, _PATCHES, seed, **_BOXES)
    return mask_types_figure(masks, boxes), {**masks, **{f'regions_{name}': box for name, box in boxes.items()}}


def figure_13(
    words: Sequence[str], limit: int, mask: dict, regions: RegionCollaborativeCutout, size: tuple[int, int], seed: int
) -> tuple[Figure, dict]:
    """Draw images, their cut masks, and the decoupled views, each with the next image as background.

    Args:
        words: What `read_sample_images` reads.
        limit: Most images.
        mask: Config of the sampler of masks.
        regions: What the masks are drawn for.
        size: Rows and columns of a mask, as many of both.
        seed: Of the masks.

    Raises:
        UserError: There are fewer than two images, or rows and columns differ.
    """
    # Views are made of whole cells, as near to the usual size as they come.
    side = size[0] * max(1, round(_PIXELS / size[0]))
    subjects = read_sample_images(words, side, limit)
    if len(subjects) < 2 or size[0] != size[1]:
        raise UserError(
            f'masks: figure 13 requires two images or more and as many rows as columns, got '
            f'{len(subjects)} and {size[0]} x {size[1]} cells; name more --images or one --size.'
        )
    images = np.stack([subject.image for subject in subjects])
    masks, _ = next(draw_masks(mask, regions, size, len(images), seed))
    rows, views = torch.arange(len(images)), torch.from_numpy(images).permute(0, 3, 1, 2)
    partners = (rows + 1) % len(images)
    decoupled = mix_pixels(views, rows, partners, masks).permute(0, 2, 3, 1).numpy()
    return (
        decoupled_batch_figure(images, masks.numpy(), images[partners], decoupled, len(images)),
        dict(images=images, masks=masks, decoupled=decoupled, image_names=[subject.name for subject in subjects]),
    )
