"""Fractions of a view and of its regions that a cut mask cuts."""

import torch
from torch import Tensor

from .cells import cell_centers, covers
from .rcc import RULES


def masked_share(mask: Tensor) -> Tensor:
    """Returns the fraction of the view that is cut.

    Args:
        mask: Bool tensor `(B, h, w)`, True where a cell is cut.

    Returns:
        Fractions in [0, 1], float32 `(B,)`.
    """
    return mask.flatten(1).float().mean(1)


def region_ratio(mask: Tensor, regions: Tensor, rule: str = 'area') -> Tensor:
    """Returns the fraction of the cells of each region that is cut.

    Args:
        mask: Bool tensor `(B, h, w)`, True where a cell is cut.
        regions: Boxes x1, y1, x2, y2 in mask cells, `(B, K, 4)`.
        rule: One of `RULES`, which decides the cells that a region contains.

    Returns:
        Fractions in [0, 1], float32 `(B, K)`; NaN for a region without cells.
    """
    size = mask.shape[1], mask.shape[2]
    start, extent = (part.float() for part in RULES[rule].cells(regions, size))
    covered = covers(start, start + extent, cell_centers(size, mask.device)).float()
    rows, columns = covered[:, 1, : size[0]], covered[:, 0, : size[1]]
    with torch.autocast(mask.device.type, enabled=False):
        cut = torch.einsum('khb,bhw,kwb->bk', rows, mask.float(), columns)
    return cut / (extent[:, 0] * extent[:, 1]).T
