"""Region collaborative cutout (RCC): a cut in every region that accounts for the cuts of the others."""

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
    # Operations in the order of the authors' code: another one moves a rounding now and then.
    sides = (missing * area * factor / divisor).sqrt()
    corner = position * (room - sides) + start
    first, last = corner.round(), (corner + sides - one).round()
    lost = (first < 0) | (sides == 0)
    return first.masked_fill(lost, torch.inf), torch.minimum(last + one, end)


class _Rule(NamedTuple):
    """A reading of Algorithm 2.

    Attributes:
        cells: Which cells a region holds: first cells and numbers of cells, (K, 2, B) with x before y.
        share: The share r of a region, from its numbers of cut cells and of cells.
        bounds: What `place` wants to know of all regions, (K, ...) each, from `cells`.
        place: First and second edges (2, B) of a cut, from r_c - r (B,), draws (2, B) and the bounds of its region.
        dtype: In which it is computed.
    """

    cells: Callable[[Tensor, tuple[int, int]], tuple[Tensor, Tensor]]
    share: Callable[[Tensor, Tensor], Tensor]
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
"""`area`: cuts of the wanted area, by cell centers. `release`: the authors' code, in whole cells. `printed`: Algorithm
2 to the letter."""


@torch.no_grad()
def rcc(regions: Tensor, cut_ratio: float | Tensor, size: tuple[int, int], draws: Tensor, rule: str = 'area') -> Tensor:
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

    `rule='release'` is the authors' code, cell for cell and draw for draw. R holds the cells from the
    rounded first to the rounded second corner, both included, as far as the view goes (round half to
    even; a region that begins behind the last cell is left alone, where theirs fails); the cut is placed at
    x = X1 + u (W - 1 - s W) and holds the cells round(x) to round(x + s W - 1), of R at most. So a cut is a
    little larger than its area, may begin one cell before R, and is lost where it would begin before
    the view, as a negative index of an array does. It is computed in float64, as theirs. For views that are not
    square, where theirs mixes up width and height, x goes with the width.

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
        rule: One of `RULES`.

    Returns:
        Bool `(B, h, w)`, True = cut. Cells are counted in integers.

    Source: paper section 4.1.1, Algorithm 2; `ztt1024/denseSSL: loader.py`, whose rule `area` keeps but
    for the roundings (see `cells.py`).
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
    held = rows[:, : size[0]].unsqueeze(2), columns[:, : size[1]].unsqueeze(1)

    mask = regions.new_zeros((*size, regions.shape[0]), dtype=torch.bool)
    for row, column, number, *region in zip(*held, count, position, *reading.bounds(start, extent)):
        cut = mask & row & column
        share = reading.share(cut.flatten(0, 1).sum(0, dtype=torch.int32), number)
        over = share > target
        first, second = reading.place(target - share.masked_fill(over, 0), *region)
        mask ^= cut & over
        mask |= box_cells(covers(first, second, centers), size)
    return mask.permute(2, 0, 1).contiguous()
