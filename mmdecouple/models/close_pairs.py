"""Pairs of dense positions of two views that are close in the source image."""

from collections.abc import Sequence

import torch
from torch import Tensor


def close_pairs(geometry: Tensor, grid: Sequence[int], threshold: float) -> Tensor:
    """Returns which dense positions of two views are close in the source image.

    Centers of cells are compared in the units of the authors' code, in which the image has width and height 1 and a
    window of w pixels the width (w - 1) / (W - 1). The unit of distance is the diagonal of the larger of the two cells.

    Args:
        geometry: Crop window, flip and source size of both views, (2, B, 7) as in `mmdecouple.utils.geometry`.
        grid: Positions (h, w) of each view.
        threshold: Largest distance, excluded.

    Returns:
        1 for pairs that are close, else 0: (B, P, P), positions of view 0 by positions of view 1, row-major.
    """
    rows, columns = (torch.arange(count, dtype=geometry.dtype, device=geometry.device) + 0.5 for count in grid)
    x, y = (part.flatten() for part in torch.meshgrid(columns / grid[1], rows / grid[0], indexing='xy'))
    corner, extent, flip = geometry[..., None, :2], geometry[..., None, 2:4] - 1, geometry[..., None, 4] > 0.5
    sides = (geometry[..., None, 5:7].flip(-1) - 1).clamp(min=1)
    inside = torch.stack(torch.broadcast_tensors(torch.where(flip, 1 - x, x), y), dim=-1)
    first, second = (corner + inside * extent) / sides
    diagonal = (extent / sides / extent.new_tensor([grid[1], grid[0]])).norm(dim=-1).amax(0)
    distance = (first[:, :, None] - second[:, None]).norm(dim=-1)
    return (distance < threshold * diagonal[..., None]).to(geometry.dtype)
