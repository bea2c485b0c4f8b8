"""Random masking of single cells."""

import torch
from torch import Tensor

from .cells import per_sample


@torch.no_grad()
def random_cells(cut_ratio: float | Tensor, size: tuple[int, int], draws: Tensor) -> Tensor:
    """Returns cut masks of exactly `floor(cut_ratio * h * w)` cells, those with the smallest draws.

    Args:
        cut_ratio: Fraction of the cells that is cut, in [0, 1], one number or `(B,)`. The product is computed in
            float32.
        size: Mask size `(h, w)` in cells.
        draws: Uniform draws in [0, 1), row by row, `(B, h * w)`. Among equal draws, the earlier cell comes first.

    Returns:
        Bool tensor `(B, h, w)`, True where a cell is cut.

    Source: paper App. G ("Ran"); `bytedance/ibot: loader.py`, shape `rand`.
    """
    cells = size[0] * size[1]
    number = (per_sample(cut_ratio, draws) * cells).floor().unsqueeze(1)
    order = draws.argsort(dim=1, stable=True)
    first = torch.arange(cells, device=draws.device).expand_as(draws) < number
    return torch.zeros_like(first).scatter(1, order, first).unflatten(1, size)
