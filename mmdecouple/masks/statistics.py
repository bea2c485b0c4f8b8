"""How much a cut mask cuts: of the view, and of each region."""

import torch
from torch import Tensor

from .cells import cell_centers, covers
from .rcc import RULES


def masked_share(mask: Tensor) -> Tensor:
    """Share of the view that is cut.

    Args:
        mask: Bool `(B, h, w)`, True = cut.

    Returns:
        Float32 `(B,)` in [0, 1].
    """
    return mask.flatten(1).float().mean(1)


def region_ratio(mask: Tensor, regions: Tensor, rule: str = 'area') -> Tensor:
    """Share of each region's cells that is cut.

    Args:
        mask: Bool `(B, h, w)`, True = cut.
        regions: `(B, K, 4)` x1, y1, x2, y2 in mask cells.
        rule: Of `rcc`: which cells a region holds.

    Returns:
        Float32 `(B, K)` in [0, 1]; NaN for a region without a cell.
    """
    size = mask.shape[1], mask.shape[2]
    start, extent = (part.float() for part in RULES[rule].cells(regions, size))
    covered = covers(start, start + extent, cell_centers(size, mask.device)).float()
    rows, columns = covered[:, 1, : size[0]], covered[:, 0, : size[1]]
    with torch.autocast(mask.device.type, enabled=False):
        cut = torch.einsum('khb,bhw,kwb->bk', rows, mask.float(), columns)
    return cut / (extent[:, 0] * extent[:, 1]).T
