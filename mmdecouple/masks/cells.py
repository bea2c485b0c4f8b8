"""Rounding rules of the package: which cells of a mask belong to a region or to a cut.

A mask of size `(h, w)` has cells of side 1; column `j` spans `[j, j + 1)` and its center is `j + 0.5`. A *region*
contains every cell that it touches, that is, columns `floor(x1)` to `ceil(x2) - 1`: a small box never vanishes, and
only a box without area (x1 >= x2 or y1 >= y2) is empty. A *cut* contains the cells whose centers lie in it,
`x1 <= j + 0.5 < x2`, so that its expected number of cells is its area. Both are clipped to the mask. All computations
are in float32, in the order in which they are written. The authors' code rounds differently; see `rounded_cells` and
`rcc`.

The batch is the last axis in this module: the small arrays per box are then contiguous in memory, which makes RCC on a
CPU several times faster than with the batch as the first axis.
"""

import torch
from torch import Tensor


def cell_centers(size: tuple[int, int], device: torch.device) -> Tensor:
    """Returns the centers 0.5, 1.5, ... of the cells along the longer side of a mask, float32 `(L, 1)`."""
    return (torch.arange(max(size), device=device, dtype=torch.float32) + 0.5).unsqueeze(1)


def covers(start: Tensor, stop: Tensor, centers: Tensor) -> Tensor:
    """Returns an indicator of the cells along x and y whose centers lie in `[start, stop)`.

    Args:
        start: Lower edges in cells, x before y, `(..., 2, B)`.
        stop: Upper edges in cells, x before y, `(..., 2, B)`.
        centers: Cell centers from `cell_centers`, `(L, 1)`.

    Returns:
        Bool tensor `(..., 2, L, B)`.
    """
    return (centers >= start.unsqueeze(-2)) & (centers < stop.unsqueeze(-2))


def box_cells(covered: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns the indicator `(h, w, B)` of one box per sample from its indicators along x and y, `(2, L, B)`."""
    return covered[1, : size[0]].unsqueeze(1) & covered[0, : size[1]].unsqueeze(0)


def region_cells(regions: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Returns the first cell and the number of cells of each region along x and y.

    Args:
        regions: Boxes x1, y1, x2, y2 in cells, `(B, K, 4)`.
        size: Mask size `(h, w)` in cells.

    Returns:
        `start` and `extent`, integral values in float32, each `(K, 2, B)` with x before y. They are clipped to the
        mask.
    """
    corners = regions.float().permute(2, 1, 0)
    start = torch.stack((corners[0], corners[1]), 1).floor().clamp(min=0)
    stop = torch.stack((corners[2].ceil().clamp(max=size[1]), corners[3].ceil().clamp(max=size[0])), 1)
    extent = (stop - start).clamp(min=0)
    has_area = (corners[2] > corners[0]) & (corners[3] > corners[1])
    return start, extent * has_area.unsqueeze(1)


def rounded_cells(regions: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Same as `region_cells` with the rounding of the released code: from corner to rounded corner, both included.

    The corners are rounded half to even, in their own precision.
    """
    corners = regions.permute(2, 1, 0).contiguous()
    left, top, right, bottom = corners.round()
    start = torch.stack((left, top), 1)
    last = torch.stack((right.clamp(max=size[1] - 1), bottom.clamp(max=size[0] - 1)), 1)
    has_area = (corners[2] > corners[0]) & (corners[3] > corners[1])
    return start, (last - start + 1).clamp(min=0) * has_area.unsqueeze(1)


def per_sample(value: float | Tensor, like: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Returns a setting, one number or one per sample, as `(B,)` of `dtype` on the device of `like`, `(B, ...)`."""
    if isinstance(value, Tensor):
        return value.to(device=like.device, dtype=dtype).expand(like.shape[0])
    return torch.full((like.shape[0],), value, device=like.device, dtype=dtype)
