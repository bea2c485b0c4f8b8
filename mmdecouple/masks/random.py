"""Random masking: single cells, anywhere."""

import torch
from torch import Tensor

from .cells import per_sample


@torch.no_grad()
def random_cells(cut_ratio: float | Tensor, size: tuple[int, int], draws: Tensor) -> Tensor:
    """Cut masks of exactly `floor(cut_ratio * h * w)` cells: those with the smallest draws.

    Args:
        cut_ratio: Share of the cells that is cut, in [0, 1], one number or `(B,)`. The product is
            taken in float32.
        size: Mask size `(h, w)` in cells.
        draws: `(B, h * w)` in [0, 1), row by row. Of equal draws the earlier cell comes first.

    Returns:
        Bool `(B, h, w)`, True = cut.

    Source: paper App. G ("Ran"); `bytedance/ibot: loader.py`, shape `rand`.
    """
    cells = size[0] * size[1]
    number = (per_sample(cut_ratio, draws) * cells).floor().unsqueeze(1)
    order = draws.argsort(dim=1, stable=True)
    first = torch.arange(cells, device=draws.device).expand_as(draws) < number
    return torch.zeros_like(first).scatter(1, order, first).unflatten(1, size)
