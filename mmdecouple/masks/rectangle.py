"""One rectangle of foreground; everything outside it is cut."""

import math

import torch
from torch import Tensor

from .cells import box_cells, cell_centers, covers


@torch.no_grad()
def rectangle(area: tuple[float, float], aspect: tuple[float, float], size: tuple[int, int], draws: Tensor) -> Tensor:
    """Cut masks whose foreground is one rectangle: the cells with centers outside it are cut.

    The area is uniform in `area`, the aspect (width / height, in cells) log-uniform in `aspect`; a
    side longer than the view is shortened to it; the position is uniform inside the view.

    Args:
        area: Smallest and largest foreground as a share of the view.
        aspect: Smallest and largest width / height.
        size: Mask size `(h, w)` in cells.
        draws: `(B, 4)` in [0, 1): area, aspect, x, y.

    Returns:
        Bool `(B, h, w)`, True = cut.

    Source: paper section 6.1 and App. G ("Rec").
    """
    height, width = size
    cells = (area[0] + (area[1] - area[0]) * draws[:, 0]) * (height * width)
    ratio = (math.log(aspect[0]) + (math.log(aspect[1]) - math.log(aspect[0])) * draws[:, 1]).exp()
    across, down = (cells * ratio).sqrt().clamp(max=width), (cells / ratio).sqrt().clamp(max=height)
    corner = torch.stack((draws[:, 2] * (width - across), draws[:, 3] * (height - down)))
    covered = covers(corner, corner + torch.stack((across, down)), cell_centers(size, draws.device))
    return ~box_cells(covered, size).permute(2, 0, 1).contiguous()
