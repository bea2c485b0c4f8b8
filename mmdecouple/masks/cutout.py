"""Proposal-level Cutout: an independent cut in every region."""

import torch
from torch import Tensor

from .cells import cell_centers, covers, per_sample, region_cells


@torch.no_grad()
def cutout(regions: Tensor, cut_ratio: float | Tensor, size: tuple[int, int], draws: Tensor) -> Tensor:
    """Returns cut masks with one Cutout rectangle per region, placed independently of the other regions.

    In a region of W x H cells with its first cell at (X1, Y1), a rectangle of sides sqrt(r_c) W and sqrt(r_c) H, that
    is, a fraction r_c of the region, is placed at X1 + u (W - sqrt(r_c) W), and likewise in y. The cells whose centers
    lie in it are cut. Where regions overlap, the cuts accumulate; RCC corrects this.

    Args:
        regions: Boxes x1, y1, x2, y2 in mask cells, `(B, K, 4)`.
        cut_ratio: r_c in [0, 1], one number or `(B,)`.
        size: Mask size `(h, w)` in cells.
        draws: Uniform draws u, v in [0, 1), one pair per region, `(B, K, 2)`.

    Returns:
        Bool tensor `(B, h, w)`, True where a cell is cut.

    Source: paper section 4.1.1, Algorithm 1, with the area read as in RCC (see `rcc`).
    """
    start, extent = region_cells(regions, size)
    sides = per_sample(cut_ratio, regions).sqrt() * extent
    corner = start + draws.permute(1, 2, 0) * (extent - sides)
    covered = covers(corner, corner + sides, cell_centers(size, regions.device)).float()
    return torch.einsum('khb,kwb->bhw', covered[:, 1, : size[0]], covered[:, 0, : size[1]]) > 0
