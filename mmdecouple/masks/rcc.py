"""Region collaborative cutout (RCC): a cut in every region that heeds the cuts of the others."""
import torch
from torch import Tensor

from .cells import box_cells, cell_centers, covers, per_sample, region_cells

RULES = ('area', 'printed')
"""`area`: the rule behind the published results. `printed`: Algorithm 2 to the letter."""


@torch.no_grad()
def rcc(regions: Tensor,
        cut_ratio: float | Tensor,
        size: tuple[int, int],
        draws: Tensor,
        rule: str = 'area') -> Tensor:
    """Cut masks by region collaborative cutout.

    The regions of a view are visited once, by descending area (x2 - x1)(y2 - y1), equal areas in
    the given order. A region R holds every cell that its box touches; X1, W and n are its first
    column, width and number of cells. With r the share of R that is already cut and r_c the wanted
    share:

    1. if r > r_c, all of R is restored (also what was cut for other regions) and r becomes 0;
    2. s = sqrt(r_c - r); a rectangle of sides s W and s H, that is of area (r_c - r) n and of the
       aspect of R, is placed at X1 + u (W - s W), Y1 + v (H - s H), always inside R; the cells
       whose centers lie in it are cut. It is not asked whether they were cut before.

    Later cuts may reach into earlier regions and nothing is checked again, so that the final share
    ends slightly above r_c (3 x 3 grid, r_c = 0.4: 0.42 of the view, 0.44 of a region). A box
    without area is left alone.

    `rule='printed'` is Algorithm 2 as printed, kept for the record: r is the share of R that is
    *not* yet cut, s = r_c - r scales the sides (so that the area shrinks with its square), and the
    corner is X1 - s W + u (W + s W), so that the cut may leave R; the view clips it. It stays near
    0.1 where the paper's figure 11 shows 0.4.

    Args:
        regions: `(B, K, 4)` x1, y1, x2, y2 in mask cells.
        cut_ratio: r_c in [0, 1], one number or `(B,)`.
        size: Mask size `(h, w)` in cells.
        draws: `(B, K, 2)` u, v in [0, 1), one pair for the cut of each region, in the order of
            `regions`.
        rule: `area` or `printed`.

    Returns:
        Bool `(B, h, w)`, True = cut. Cells are counted in integers.

    Source: paper section 4.1.1, Algorithm 2; the area rule after `ztt1024/denseSSL: loader.py`,
    with the roundings of `cells.py`.
    """
    target = per_sample(cut_ratio, regions)
    area = (regions[..., 2] - regions[..., 0]) * (regions[..., 3] - regions[..., 1])
    order = area.argsort(dim=1, descending=True, stable=True).unsqueeze(-1)
    start, extent = region_cells(regions.gather(1, order.expand_as(regions)), size)
    position = draws.gather(1, order.expand_as(draws)).permute(1, 2, 0).contiguous()
    count = (extent[:, 0] * extent[:, 1]).clamp(min=1)
    centers = cell_centers(size, regions.device)
    covered = covers(start, start + extent, centers)

    mask = regions.new_zeros((*size, regions.shape[0]), dtype=torch.bool)
    for k in range(regions.shape[1]):
        cut = mask & box_cells(covered[k], size)
        share = cut.flatten(0, 1).sum(0, dtype=torch.int32) / count[k]
        if rule == 'printed':
            share = 1 - share
        over = share > target
        missing = target - share.masked_fill(over, 0)
        if rule == 'printed':
            sides = missing * extent[k]
            corner = start[k] - sides + position[k] * (extent[k] + sides)
        else:
            sides = missing.sqrt() * extent[k]
            corner = start[k] + position[k] * (extent[k] - sides)
        mask ^= cut & over
        mask |= box_cells(covers(corner, corner + sides, centers), size)
    return mask.permute(2, 0, 1).contiguous()
