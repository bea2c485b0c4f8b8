"""Masks with one rectangle of foreground; everything outside it is cut."""

import math

import torch
from torch import Tensor

from .cells import box_cells, cell_centers, covers


@torch.no_grad()
def rectangle(area: tuple[float, float], aspect: tuple[float, float], size: tuple[int, int], draws: Tensor) -> Tensor:
    """Returns cut masks whose foreground is one rectangle: the cells with centers outside it are cut.

    The area is uniform in `area` and the aspect (width / height, in cells) log-uniform in `aspect`. A side longer than
    the view is shortened to the view; the position is uniform inside the view.

    Args:
        area: Smallest and largest foreground as a fraction of the view, in (0, 1].
        aspect: Smallest and largest width / height, above 0.
        size: Mask size `(h, w)` in cells.
        draws: Uniform draws in [0, 1) for area, aspect, x and y, `(B, 4)`.

    Returns:
        Bool tensor `(B, h, w)`, True where a cell is cut.

    Source: paper section 6.1 and App. G ("Rec").
    """
    height, width = size
    cells = (area[0] + (area[1] - area[0]) * draws[:, 0]) * (height * width)
    ratio = (math.log(aspect[0]) + (math.log(aspect[1]) - math.log(aspect[0])) * draws[:, 1]).exp()
    across, down = (cells * ratio).sqrt().clamp(max=width), (cells / ratio).sqrt().clamp(max=height)
    corner = torch.stack((draws[:, 2] * (width - across), draws[:, 3] * (height - down)))
    covered = covers(corner, corner + torch.stack((across, down)), cell_centers(size, draws.device))
    return ~box_cells(covered, size).permute(2, 0, 1).contiguous()
