"""Which cells of a mask a region or a cut holds: the rounding rules of the package.

A mask of size `(h, w)` has cells of side 1; column `j` spans `[j, j + 1)` and its center is
`j + 0.5`. A *region* holds every cell that it touches: columns `floor(x1)` to `ceil(x2) - 1`, so
that a box never vanishes for being small; only a box without area (x1 >= x2 or y1 >= y2) is empty.
A *cut* holds the cells whose centers lie in it: `x1 <= j + 0.5 < x2`; its expected number of cells
is then its area. What lies outside the mask is clipped. Everything is computed in float32, in the
order in which it is written. The rule of the authors' code has roundings of its own: `rounded_cells`, and `rcc`.

The batch is the last axis here: the small per-box arrays are then read along contiguous memory,
which makes RCC on a CPU several times faster than with the batch in front.
"""

import torch
from torch import Tensor


def cell_centers(size: tuple[int, int], device: torch.device) -> Tensor:
    """Centers 0.5, 1.5, ... of the cells along the longer side of a mask: float32 `(L, 1)`."""
    return (torch.arange(max(size), device=device, dtype=torch.float32) + 0.5).unsqueeze(1)


def covers(start: Tensor, stop: Tensor, centers: Tensor) -> Tensor:
    """Indicator of the cells along x and y whose centers lie in `[start, stop)`.

    Args:
        start: `(..., 2, B)` first edges in cells, x before y.
        stop: `(..., 2, B)` second edges.
        centers: `(L, 1)`, see `cell_centers`.

    Returns:
        Bool `(..., 2, L, B)`.
    """
    return (centers >= start.unsqueeze(-2)) & (centers < stop.unsqueeze(-2))


def box_cells(covered: Tensor, size: tuple[int, int]) -> Tensor:
    """Indicator `(h, w, B)` of one box a sample, from what it covers along x and y `(2, L, B)`."""
    return covered[1, : size[0]].unsqueeze(1) & covered[0, : size[1]].unsqueeze(0)


def region_cells(regions: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """First cells and numbers of cells of regions along x and y.

    Args:
        regions: `(B, K, 4)` x1, y1, x2, y2 in cells.
        size: Mask size `(h, w)`.

    Returns:
        `start` and `extent`, each float32 `(K, 2, B)` with x before y, whole numbers; the cells are
        clipped to the mask.
    """
    corners = regions.float().permute(2, 1, 0)
    start = torch.stack((corners[0], corners[1]), 1).floor().clamp(min=0)
    stop = torch.stack((corners[2].ceil().clamp(max=size[1]), corners[3].ceil().clamp(max=size[0])), 1)
    extent = (stop - start).clamp(min=0)
    has_area = (corners[2] > corners[0]) & (corners[3] > corners[1])
    return start, extent * has_area.unsqueeze(1)


def rounded_cells(regions: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """As `region_cells`, but from the rounded first to the rounded second corner, both included: the released code's.

    The corners are rounded half to even in their own precision.
    """
    corners = regions.permute(2, 1, 0).contiguous()
    left, top, right, bottom = corners.round()
    start = torch.stack((left, top), 1)
    last = torch.stack((right.clamp(max=size[1] - 1), bottom.clamp(max=size[0] - 1)), 1)
    has_area = (corners[2] > corners[0]) & (corners[3] > corners[1])
    return start, (last - start + 1).clamp(min=0) * has_area.unsqueeze(1)


def per_sample(value: float | Tensor, like: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A setting, one number or one a sample, as `(B,)` of `dtype` on the device of `like` (B, ...)."""
    if isinstance(value, Tensor):
        return value.to(device=like.device, dtype=dtype).expand(like.shape[0])
    return torch.full((like.shape[0],), value, device=like.device, dtype=dtype)
