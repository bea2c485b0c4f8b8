"""Region collaborative cutout (RCC): a cut in every region that accounts for the cuts of the other regions."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .cells import box_cells, cell_centers, covers, per_sample, region_cells, rounded_cells

Edges = tuple[Tensor, Tensor]


def _inside(missing: Tensor, position: Tensor, start: Tensor, extent: Tensor) -> Edges:
    sides = missing.sqrt() * extent
    corner = start + position * (extent - sides)
    return corner, corner + sides


def _straddling(missing: Tensor, position: Tensor, start: Tensor, extent: Tensor) -> Edges:
    sides = missing * extent
    corner = start - sides + position * (extent + sides)
    return corner, corner + sides


def _bounds(start: Tensor, extent: Tensor) -> tuple[Tensor, ...]:
    area, aspect = extent[:, :1] * extent[:, 1:], extent[:, :1] / extent[:, 1:]
    one = torch.ones_like(aspect)
    return start, start + extent, extent - 1, area, torch.cat((aspect, one), 1), torch.cat((one, aspect), 1), one


def _whole_cells(
    missing: Tensor,
    position: Tensor,
    start: Tensor,
    end: Tensor,
    room: Tensor,
    area: Tensor,
    factor: Tensor,
    divisor: Tensor,
    one: Tensor,
) -> Edges:
    # The operations keep the order of the authors' code: a different order occasionally changes a rounding.
    sides = (missing * area * factor / divisor).sqrt()
    corner = position * (room - sides) + start
    first, last = corner.round(), (corner + sides - one).round()
    lost = (first < 0) | (sides == 0)
    return first.masked_fill(lost, torch.inf), torch.minimum(last + one, end)


class _Rule(NamedTuple):
    """A reading of Algorithm 2.

    Attributes:
        cells: Returns the first cells and the numbers of cells of regions, each (K, 2, B) with x before y.
        fraction: Returns the fraction r of a region from its number of cut cells and its number of cells.
        bounds: Returns the arguments of `place` for all regions, each (K, ...), from the result of `cells`.
        place: Returns the lower and upper edges (2, B) of a cut from r_c - r (B,), draws (2, B) and the bounds of its
            region.
        dtype: Precision of the computation.
    """

    cells: Callable[[Tensor, tuple[int, int]], tuple[Tensor, Tensor]]
    fraction: Callable[[Tensor, Tensor], Tensor]
    bounds: Callable[[Tensor, Tensor], tuple[Tensor, ...]]
    place: Callable[..., Edges]
    dtype: torch.dtype


RULES = {
    'area': _Rule(region_cells, lambda cut, count: cut / count, lambda *cells: cells, _inside, torch.float32),
    'printed': _Rule(
        region_cells, lambda cut, count: 1 - cut / count, lambda *cells: cells, _straddling, torch.float32
    ),
    'release': _Rule(rounded_cells, lambda cut, count: 1 - (count - cut) / count, _bounds, _whole_cells, torch.float64),
}
"""Rules of RCC, by the name that the argument `rule` takes."""
"""Readings of Algorithm 2. `area`: cuts of the requested area, placed by cell centers. `release`: the authors' code, in
whole cells. `printed`: Algorithm 2 exactly as printed."""


@torch.no_grad()
def rcc(regions: Tensor, cut_ratio: float | Tensor, size: tuple[int, int], draws: Tensor, rule: str = 'area') -> Tensor:
    """Returns cut masks by region collaborative cutout.

    The regions of a view are visited once, in descending order of area (x2 - x1)(y2 - y1); regions of equal area keep
    their order. A region R contains every cell that its box touches; X1, W and n are its first column, its width and
    its number of cells. Let r be the fraction of R that is already cut, and r_c the requested fraction:

    1. If r > r_c, all of R is restored, including cells that were cut for other regions, and r becomes 0.
    2. A rectangle of sides s W and s H with s = sqrt(r_c - r), that is, of area (r_c - r) n and the aspect of R, is
       placed at X1 + u (W - s W), Y1 + v (H - s H), always inside R. The cells whose centers lie in it are cut, whether
       or not they were cut before.

    Later cuts may extend into regions that were visited earlier, and these are not checked again. The final fraction is
    therefore slightly above r_c (3 x 3 grid, r_c = 0.4: 0.42 of the view, 0.44 of a region). A box without area cuts
    nothing.

    `rule='release'` reproduces the authors' code cell for cell and draw for draw, in float64. R contains the cells from
    the rounded first to the rounded second corner, both included, clipped to the view (round half to even). The cut is
    placed at x = X1 + u (W - 1 - s W) and contains the cells round(x) to round(x + s W - 1), clipped to R at its upper
    edge. A cut is therefore slightly larger than its area, may begin one cell before R, and vanishes where it would
    begin before the view, as slicing an array with a negative index does. There are two deviations: a region that
    begins beyond the last cell cuts nothing, where the authors' code fails; and for views that are not square, where
    the authors' code exchanges width and height, x corresponds to the width.

    `rule='printed'` is Algorithm 2 as printed, for reference: r is the fraction of R that is *not* yet cut, s = r_c - r
    scales the sides (so that the area scales with its square), and the corner is X1 - s W + u (W + s W), so that the
    cut may leave R; it is clipped to the view. The result stays near 0.1 where the paper's figure 11 shows 0.4.

    Args:
        regions: Boxes x1, y1, x2, y2 in mask cells, `(B, K, 4)`.
        cut_ratio: r_c in [0, 1], one number or `(B,)`.
        size: Mask size `(h, w)` in cells.
        draws: Uniform draws u, v in [0, 1), one pair for the cut of each region, in the order of `regions`,
            `(B, K, 2)`.
        rule: One of `RULES`.

    Returns:
        Bool tensor `(B, h, w)`, True where a cell is cut. Cells are counted in integers.

    Source: paper section 4.1.1, Algorithm 2; `ztt1024/denseSSL: loader.py`, from which the rule `area` differs by its
        roundings only (see `cells.py`).
    """
    reading = RULES[rule]
    regions, target = regions.to(reading.dtype), per_sample(cut_ratio, regions, reading.dtype)
    area = (regions[..., 2] - regions[..., 0]) * (regions[..., 3] - regions[..., 1])
    order = area.argsort(dim=1, descending=True, stable=True).unsqueeze(-1)
    start, extent = reading.cells(regions.gather(1, order.expand_as(regions)), size)
    position = draws.to(reading.dtype).gather(1, order.expand_as(draws)).permute(1, 2, 0).contiguous()
    count = (extent[:, 0] * extent[:, 1]).clamp(min=1)
    centers = cell_centers(size, regions.device).to(reading.dtype)
    columns, rows = covers(start, start + extent, centers).unbind(1)
    inside = rows[:, : size[0]].unsqueeze(2), columns[:, : size[1]].unsqueeze(1)

    mask = regions.new_zeros((*size, regions.shape[0]), dtype=torch.bool)
    for row, column, number, *region in zip(*inside, count, position, *reading.bounds(start, extent)):
        cut = mask & row & column
        fraction = reading.fraction(cut.flatten(0, 1).sum(0, dtype=torch.int32), number)
        over = fraction > target
        first, second = reading.place(target - fraction.masked_fill(over, 0), *region)
        mask ^= cut & over
        mask |= box_cells(covers(first, second, centers), size)
    return mask.permute(2, 0, 1).contiguous()
