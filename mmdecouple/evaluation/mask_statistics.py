"""Statistics of cut masks: share that is cut, ratio in each region, largest component."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from mmdecouple.masks import RegionCollaborativeCutout, build_mask, masked_share, region_ratio

MASK_TYPES = {
    'rcc': dict(type='RegionCollaborativeCutout'),
    'rcc_printed': dict(type='RegionCollaborativeCutout', rule='printed'),
    'cutout': dict(type='Cutout'),
    'blockwise': dict(type='Blockwise'),
    'random': dict(type='RandomMask'),
    'rectangle': dict(type='Rectangle'),
}
_CELLS_AT_ONCE = 2**21


def mask_config(name: str, cut_ratio: Sequence[float] | None = None, **settings: object) -> dict:
    """Returns the config of a mask type with a given cut ratio.

    Args:
        name: Key of `MASK_TYPES`.
        cut_ratio: One number, or lower and upper end, in [0, 1]; None for the default of the type. A rectangle is
            foreground, so its area is 1 - cut_ratio.
        settings: Settings of the grid regions (`grid`, `preset`, `box_area`, `aspect`), ignored for types without
            regions.

    Returns:
        Config for `mmdecouple.masks.build_mask`.
    """
    config = dict(MASK_TYPES[name])
    if name in ('rcc', 'rcc_printed', 'cutout'):
        config.update(settings)
    if cut_ratio is not None and name == 'rectangle':
        config['area'] = (1 - cut_ratio[-1], 1 - cut_ratio[0])
    elif cut_ratio is not None:
        config['cut_ratio'] = (cut_ratio[0], cut_ratio[-1])
    return config


def mask_setup(
    name: str, size: Sequence[int], cut_ratio: Sequence[float] | None, preset: str, grid: int | None
) -> tuple[tuple[int, int], dict, RegionCollaborativeCutout]:
    """Returns mask size `(h, w)`, config of the mask sampler, and sampler of the grid regions.

    Args:
        name: Key of `MASK_TYPES`.
        size: Cells along the side, or height and width.
        cut_ratio: See `mask_config`.
        preset: Preset of the grid regions.
        grid: Number of regions along each side; None for that of the preset.

    Raises:
        UserError: A setting is out of range.
    """
    settings = dict(preset=preset, grid=grid)
    return (size[0], size[-1]), mask_config(name, cut_ratio, **settings), RegionCollaborativeCutout(**settings)


def draw_masks(
    config: dict, regions: RegionCollaborativeCutout, size: tuple[int, int], count: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draws masks in batches, together with the grid regions for which the cut ratio is measured.

    Args:
        config: Config of a mask sampler.
        regions: Sampler of the regions, also for masks that do not depend on regions.
        size: Mask size `(h, w)` in cells.
        count: Number of masks.
        seed: Seed of all draws.

    Yields:
        Masks `(b, h, w)` bool and regions `(b, K, 4)` in cells.
    """
    mask, generator = build_mask(config, key='mask'), torch.Generator().manual_seed(seed)
    most = max(1, _CELLS_AT_ONCE // (size[0] * size[1]))
    for start in range(0, count, most):
        number = min(most, count - start)
        boxes = regions.regions(number, size, generator=generator)
        yield mask.sample(number, size, generator=generator, regions=boxes), boxes


def mask_statistics(
    config: dict, regions: RegionCollaborativeCutout, size: tuple[int, int], count: int, seed: int
) -> dict[str, float]:
    """Measures masks of one config.

    Args:
        config: Config of a mask sampler.
        regions: Sampler of the grid regions for which the cut ratio is measured, on the cells that its rule assigns.
        size: Mask size `(h, w)` in cells.
        count: Number of masks.
        seed: Seed of all draws.

    Returns:
        `masked_share_mean` and `_std` (over masks), `region_ratio_mean` and `_std` (over regions that contain a cell)
        and `largest_component_mean`, all in [0, 1].
    """
    shares, ratios, largest = [], [], []
    for masks, boxes in draw_masks(config, regions, size, count, seed):
        ratio = region_ratio(masks, boxes, regions.rule)
        shares.append(masked_share(masks).double())
        ratios.append(ratio[~ratio.isnan()].double())
        largest.append(largest_component(masks))
    share, ratio = torch.cat(shares), torch.cat(ratios)
    return {
        'masked_share_mean': share.mean().item(),
        'masked_share_std': share.std(correction=0).item(),
        'region_ratio_mean': ratio.mean().item(),
        'region_ratio_std': ratio.std(correction=0).item(),
        'largest_component_mean': float(np.concatenate(largest).mean()),
    }


def collaboration(
    names: Sequence[str],
    grids: Sequence[int],
    cut_ratio: float,
    size: tuple[int, int],
    count: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    **boxes: object,
) -> dict[str, np.ndarray]:
    """Measures the share of a region that is cut as a function of the number of regions.

    Args:
        names: Keys of `MASK_TYPES` whose masks cut within regions.
        grids: Numbers of regions along each side.
        cut_ratio: Cut ratio, in [0, 1].
        size: Mask size `(h, w)` in cells.
        count: Number of masks per entry of `grids`.
        seed: Seed of all draws.
        progress: Called with (entries of `grids` done, total entries).
        boxes: Settings of the regions, `box_area` and `aspect`.

    Returns:
        Name -> `(len(grids), 2)`, mean and standard deviation over regions.

    Source: ICLR 2024 paper, fig. 11.
    """
    found: dict[str, list] = {name: [] for name in names}
    for done, grid in enumerate(grids, 1):
        regions = RegionCollaborativeCutout(grid=grid, **boxes)
        for name, rows in found.items():
            drawn = draw_masks(mask_config(name, [cut_ratio], grid=grid, **boxes), regions, size, count, seed)
            values = torch.cat([region_ratio(*pair, regions.rule).flatten() for pair in drawn])
            rows.append((values.mean().item(), values.std().item()))
        if progress is not None:
            progress(done, len(grids))
    return {name: np.array(rows) for name, rows in found.items()}


def example_masks(
    names: Sequence[str], cut_ratio: float, size: tuple[int, int], seed: int, **boxes: object
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draws one mask of each type over the same 2 x 2 regions.

    Args:
        names: Keys of `MASK_TYPES`.
        cut_ratio: Cut ratio, in [0, 1].
        size: Mask size `(h, w)` in cells.
        seed: Seed of all draws.
        boxes: Settings of the regions, `box_area` and `aspect`.

    Returns:
        Name -> bool `(h, w)`, and name -> regions `(4, 4)` in cells for the types that cut within regions.

    Source: ICLR 2024 paper, fig. 12.
    """
    regions, masks, found = RegionCollaborativeCutout(grid=2, **boxes), {}, {}
    for name in names:
        mask, box = next(draw_masks(mask_config(name, [cut_ratio], grid=2, **boxes), regions, size, 1, seed))
        masks[name] = mask[0].numpy()
        if name in ('rcc', 'cutout'):
            found[name] = box[0].numpy()
    return masks, found


def largest_component(masks: Tensor) -> np.ndarray:
    """Returns the share of the view that the largest 4-connected component of each cut mask covers.

    Args:
        masks: Bool `(B, h, w)`, True for cut cells.

    Returns:
        Float64 `(B,)` in [0, 1]; 0 for an empty mask.
    """
    areas = []
    for mask in masks.cpu().numpy().astype(np.uint8):
        table = cv2.connectedComponentsWithStats(mask, connectivity=4)[2]
        areas.append(table[1:, cv2.CC_STAT_AREA].max(initial=0) / mask.size)
    return np.array(areas, dtype=np.float64)
