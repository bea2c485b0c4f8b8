"""Figures 11 to 13 of the paper, with the arrays that they show."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from mmdecouple.decoupling.composition import mix_pixels
from mmdecouple.evaluation.mask_statistics import collaboration, draw_masks, example_masks
from mmdecouple.masks import RegionCollaborativeCutout
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.progress import shown_progress

from .batches import decoupled_batch_figure
from .masks import collaboration_figure, mask_types_figure
from .sample_images import read_sample_images

# Settings of the paper.
_RATIO = 0.4
_BOXES = dict(box_area=(0.2, 1.0), aspect=(0.5, 2.0))
_GRIDS = (1, 2, 3, 4, 5, 6)
_REPEATS = 500
_PIXELS = 224
_PATCHES = (14, 14)


def figure_11(seed: int, progress: Callable[[int, int], None]) -> tuple[Figure, dict]:
    """Draws the cut ratio in a region against the number of regions.

    Args:
        seed: Seed of the masks.
        progress: Called with (numbers of regions done, total).

    Returns:
        The figure and its arrays.
    """
    ratios = collaboration(
        ('rcc', 'cutout', 'rcc_printed'), _GRIDS, _RATIO, (_PIXELS, _PIXELS), _REPEATS, seed, progress, **_BOXES
    )
    numbers = [grid * grid for grid in _GRIDS]
    return collaboration_figure(numbers, ratios, _RATIO), dict(numbers=numbers, **ratios)


def ratio_lines(arrays: dict) -> list[str]:
    """Returns one line of mean ratios per mask type of figure 11; an empty list for arrays of another figure."""
    numbers = arrays.get('numbers', ())
    return [
        f'{name:12} ' + ' '.join(f'N={number}: {mean:.3f}' for number, (mean, _) in zip(numbers, values))
        for name, values in arrays.items()
        if len(numbers) and name != 'numbers'
    ]


def figure_12(seed: int) -> tuple[Figure, dict]:
    """Draws one mask of each type over the same 2 x 2 grid regions; returns the figure and its arrays."""
    types = ('rectangle', 'random', 'blockwise', 'cutout', 'rcc')
    masks, boxes = example_masks(types, _RATIO, _PATCHES, seed, **_BOXES)
    return mask_types_figure(masks, boxes), {**masks, **{f'regions_{name}': box for name, box in boxes.items()}}


def draw_figure(
    number: int,
    seed: int,
    specs: Sequence[str],
    limit: int,
    masks: tuple[tuple[int, int], dict, RegionCollaborativeCutout],
) -> tuple[Figure, dict]:
    """Draws a figure of the paper.

    Args:
        number: 11, 12 or 13.
        seed: Seed of the masks.
        specs: Images of figure 13, see `read_sample_images`.
        limit: Maximum number of images of figure 13.
        masks: Masks of figure 13: size, config of the sampler, and sampler of the regions.

    Returns:
        The figure and its arrays.

    Raises:
        UserError: See `figure_13`.
    """
    if number == 11:
        with shown_progress('numbers of regions') as progress:
            return figure_11(seed, progress)
    if number == 12:
        return figure_12(seed)
    size, config, regions = masks
    return figure_13(specs, limit, config, regions, size, seed)


def figure_13(
    specs: Sequence[str], limit: int, mask: dict, regions: RegionCollaborativeCutout, size: tuple[int, int], seed: int
) -> tuple[Figure, dict]:
    """Draws images, their cut masks, and the decoupled views, each with the next image as background.

    Args:
        specs: Images, see `read_sample_images`.
        limit: Maximum number of images.
        mask: Config of the mask sampler.
        regions: Sampler of the regions.
        size: Rows and columns of a mask, which must be equal.
        seed: Seed of the masks.

    Returns:
        The figure and its arrays.

    Raises:
        UserError: There are fewer than two images, or rows and columns differ.
    """
    # The side is the multiple of the cells that is nearest to the default size.
    side = size[0] * max(1, round(_PIXELS / size[0]))
    subjects = read_sample_images(specs, side, limit)
    if len(subjects) < 2 or size[0] != size[1]:
        raise UserError(
            f'masks: figure 13 requires two images or more and as many rows as columns, got '
            f'{len(subjects)} and {size[0]} x {size[1]} cells; name more --data or a square --size.'
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
