"""Which cells of a mask an interval or a box covers: the one rounding rule of the package.

A mask of size `(h, w)` has cells of side 1; column `j` spans `[j, j + 1)` and its center is `j + 0.5`. A cell belongs to the
box `(x1, y1, x2, y2)` when its center does: `x1 <= j + 0.5 < x2` and `y1 <= i + 0.5 < y2`. Edges are thus inclusive on the
left and top, exclusive on the right and bottom, what lies outside the mask is clipped, and a box without a cell center is
empty. Everything is computed in float32, in the order in which it is written.

The batch is the last axis here: the small per-box arrays are then read along contiguous memory, which makes RCC on a CPU
several times faster than with the batch in front.
"""
import torch
from torch import Tensor


def first_cell(edge: Tensor) -> Tensor:
    """Index of the first cell whose center is at or after `edge`: `ceil(edge - 0.5)`.

    For the far edge of a box that is the cell after its last one, so `first_cell(x2) - first_cell(x1)` columns belong to it.

    Args:
        edge: Any shape, in cells.

    Returns:
        Whole numbers as float32, same shape.
    """
    return (edge - 0.5).ceil()


def centers(length: int, device: torch.device) -> Tensor:
    """Centers of the cells of one axis, float32 `(length, 1)`: 0.5, 1.5, ..."""
    return (torch.arange(length, device=device, dtype=torch.float32) + 0.5).unsqueeze(1)


def covers(start: Tensor, stop: Tensor, centers: Tensor) -> Tensor:
    """Indicator of the cells of one axis whose centers lie in `[start, stop)`.

    Args:
        start: `(..., B)` first edges, in cells.
        stop: `(..., B)` second edges, in cells.
        centers: `(length, 1)`, see `centers`.

    Returns:
        Bool `(..., length, B)`.
    """
    return (centers >= start.unsqueeze(-2)) & (centers < stop.unsqueeze(-2))


def box_cells(rows: Tensor, columns: Tensor) -> Tensor:
    """Indicator `(h, w, B)` of the cells of boxes from those of their rows `(h, B)` and columns `(w, B)`."""
    return rows.unsqueeze(1) & columns.unsqueeze(0)


def region_cells(regions: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """First cells and numbers of cells of regions along x and y.

    Args:
        regions: `(B, K, 4)` x1, y1, x2, y2 in cells.
        size: Mask size `(h, w)`.

    Returns:
        `start` and `extent`, each float32 `(K, 2, B)` with x before y, whole numbers clipped to the mask.
    """
    across = first_cell(regions[..., 0::2].float()).clamp(0, size[1])
    down = first_cell(regions[..., 1::2].float()).clamp(0, size[0])
    first, stop = torch.stack((across, down)).permute(3, 2, 0, 1).contiguous()
    return first, (stop - first).clamp(min=0)


def per_sample(value: float | Tensor, like: Tensor) -> Tensor:
    """A setting as float32 `(B,)` on the device of `like` `(B, ...)`: one number for all samples, or one each."""
    if isinstance(value, Tensor):
        return value.to(device=like.device, dtype=torch.float32).expand(like.shape[0])
    return torch.full((like.shape[0], ), value, device=like.device, dtype=torch.float32)
