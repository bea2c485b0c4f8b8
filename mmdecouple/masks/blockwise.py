"""Blockwise masking: rectangles are added until a wanted number of cells is cut."""

import math

import torch
from torch import Tensor

from .cells import box_cells, cell_centers, covers, per_sample

ASPECT = (0.3, 1 / 0.3)
MAX_FAILURES = 10


@torch.no_grad()
def blockwise(cut_ratio: float | Tensor, size: tuple[int, int], draws: Tensor) -> Tensor:
    """Cut masks made of overlapping rectangles, as in iBOT.

    Each try proposes a rectangle to every mask that is still short of its `cut_ratio * h * w`
    cells. Its area is uniform between `(min(h, w) // 3)^2` and the number of cells that are missing
    (with a smaller missing number the range is just reversed), its aspect (height / width)
    log-uniform in (0.3, 1 / 0.3); sides are rounded to cells, half to even. It is taken if it is
    strictly smaller than the view in both directions and adds at least one new cell but not more
    than are missing; its place is uniform over all whole cells. A mask is finished when nothing is
    missing, or after ten tries in a row without success.

    Args:
        cut_ratio: Wanted share in [0, 1], one number or `(B,)`. Never exceeded; usually reached to
            within 0.03.
        size: Mask size `(h, w)` in cells.
        draws: `(B, T, 4)` in [0, 1): area, aspect, y, x of each try. T bounds the work; with 64
            fewer than one mask in a thousand of `cut_ratio` <= 0.6 would have gone on.

    Returns:
        Bool `(B, h, w)`, True = cut.

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
        taken = (
            (missing > 0)
            & (failures < MAX_FAILURES)
            & (free_rows > 0)
            & (free_columns > 0)
            & (new > 0)
            & (new <= missing)
        )
        mask |= block & taken
        total = total + new * taken
        failures = torch.where(taken, 0, failures + 1)
    return mask.permute(2, 0, 1).contiguous()
