"""Blockwise masking: rectangles are added until the requested number of cells is cut."""

import math

import torch
from torch import Tensor

from .cells import box_cells, cell_centers, covers, per_sample

ASPECT = (0.3, 1 / 0.3)
MAX_FAILURES = 10


@torch.no_grad()
def blockwise(cut_ratio: float | Tensor, size: tuple[int, int], draws: Tensor) -> Tensor:
    """Returns cut masks that are unions of overlapping rectangles, as in iBOT.

    Each attempt proposes one rectangle to every mask that has fewer than `cut_ratio * h * w` cut cells. The area of the
    rectangle is uniform between `(min(h, w) // 3)^2` and the number of missing cells (if the latter is smaller, the
    range is reversed); its aspect (height / width) is log-uniform in (0.3, 1 / 0.3). The sides are rounded to whole
    cells, half to even, and the position is uniform over whole cells. A rectangle is accepted if it is strictly smaller
    than the view in both directions and adds at least one new cell, but not more cells than are missing. A mask is
    complete when no cell is missing, or after ten consecutive rejections.

    Args:
        cut_ratio: Requested fraction of cut cells in [0, 1], one number or `(B,)`. It is never exceeded and usually
            reached to within 0.03.
        size: Mask size `(h, w)` in cells.
        draws: Uniform draws in [0, 1), `(B, T, 4)`: area, aspect, y and x of each of T attempts. With T = 64 and
            `cut_ratio` <= 0.6, fewer than one mask in a thousand would continue beyond T.

    Returns:
        Bool tensor `(B, h, w)`, True where a cell is cut.

    Source: paper App. G ("Blc"); `bytedance/ibot: loader.py`, shape `block`.
    """
    height, width = size
    target = per_sample(cut_ratio, draws) * (height * width)
    smallest = float((min(height, width) // 3) ** 2)
    area, aspect, down, right = draws.permute(2, 1, 0).contiguous()
    ratio = (math.log(ASPECT[0]) + (math.log(ASPECT[1]) - math.log(ASPECT[0])) * aspect).exp()

    centers = cell_centers(size, draws.device)

    mask = draws.new_zeros((height, width, draws.shape[0]), dtype=torch.bool)
    total, failures = torch.zeros_like(target), torch.zeros_like(target)
    for t in range(draws.shape[1]):
        missing = target - total
        cells = smallest + (missing - smallest) * area[t]
        rows, columns = (cells * ratio[t]).sqrt().round(), (cells / ratio[t]).sqrt().round()
        free_rows, free_columns = height - rows, width - columns
        top = torch.minimum((down[t] * (free_rows + 1)).floor(), free_rows)
        left = torch.minimum((right[t] * (free_columns + 1)).floor(), free_columns)
        corner, end = torch.stack((left, top)), torch.stack((left + columns, top + rows))
        block = box_cells(covers(corner, end, centers), size)
        new = (block & ~mask).flatten(0, 1).sum(0, dtype=torch.int32)
        accepted = (
            (missing > 0)
            & (failures < MAX_FAILURES)
            & (free_rows > 0)
            & (free_columns > 0)
            & (new > 0)
            & (new <= missing)
        )
        mask |= block & accepted
        total = total + new * accepted
        failures = torch.where(accepted, 0, failures + 1)
    return mask.permute(2, 0, 1).contiguous()
