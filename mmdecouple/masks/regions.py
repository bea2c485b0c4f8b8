"""Regions (box proposals) inside a view: one random box per grid cell, or given boxes."""

import math

import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError

TOLERANCE = 1e-3
"""Distance in cells by which a given box may exceed the view, to allow for float32 rounding."""


def place_regions(
    draws: Tensor,
    size: tuple[int, int],
    *,
    grid: int = 3,
    area: tuple[float, float] = (0.15, 0.4),
    aspect: tuple[float, float] = (0.5, 2.0),
) -> Tensor:
    """Returns one box per cell of a `grid` x `grid` division of the view, from given uniform draws.

    The center is uniform over the middle half of its grid cell in each axis. The area, as a fraction of the view, is
    uniform in `area`, and the aspect (width / height, in mask cells) is log-uniform in `aspect`. The box is then
    clipped to the view; it is not drawn again, and the clipped area is not compensated. The area does not depend on
    `grid`.

    Args:
        draws: Uniform draws in [0, 1) for center x, center y, area and aspect, grid cells row by row,
            `(B, grid * grid, 4)`.
        size: Mask size `(h, w)` in cells.
        grid: Grid cells along each side of the view, at least 1.
        area: Smallest and largest area of a box as a fraction of the view.
        aspect: Smallest and largest width / height, above 0.

    Returns:
        Boxes x1, y1, x2, y2 in mask cells, clipped to the view, `(B, grid * grid, 4)`, of the dtype of `draws`.

    Source: paper App. E.2; placement and clipping after `ztt1024/denseSSL: loader.py`.
    """
    height, width = size
    cell = torch.arange(grid * grid, device=draws.device)
    column, row = (cell % grid).float(), (cell // grid).float()
    center_x = (column + 0.25 + 0.5 * draws[..., 0]) * (width / grid)
    center_y = (row + 0.25 + 0.5 * draws[..., 1]) * (height / grid)
    cells = (area[0] + (area[1] - area[0]) * draws[..., 2]) * (height * width)
    log_aspect = math.log(aspect[0]) + (math.log(aspect[1]) - math.log(aspect[0])) * draws[..., 3]
    ratio = log_aspect.exp()
    half_width, half_height = 0.5 * (cells * ratio).sqrt(), 0.5 * (cells / ratio).sqrt()
    return torch.stack(
        (
            (center_x - half_width).clamp(min=0),
            (center_y - half_height).clamp(min=0),
            (center_x + half_width).clamp(max=width),
            (center_y + half_height).clamp(max=height),
        ),
        -1,
    )


def grid_regions(
    batch_size: int,
    size: tuple[int, int],
    *,
    grid: int = 3,
    area: tuple[float, float] = (0.15, 0.4),
    aspect: tuple[float, float] = (0.5, 2.0),
    generator: torch.Generator,
    device: torch.device | str = 'cpu',
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Returns one random box per cell of a grid: `place_regions` with draws from `generator`.

    Args:
        batch_size: Number of views B.
        size: Mask size `(h, w)` in cells.
        grid: Grid cells along each side of the view, at least 1.
        area: Smallest and largest area of a box as a fraction of the view.
        aspect: Smallest and largest width / height, above 0.
        generator: Source of the draws. They are made on the device of the generator and then moved to `device`, so that
            a CPU generator gives the same regions on every device.
        device: Device of the regions.
        dtype: Precision of the regions; the draws are always float32.

    Returns:
        Boxes x1, y1, x2, y2 in mask cells, `(B, grid * grid, 4)`.
    """
    draws = uniform((batch_size, grid * grid, 4), generator, device).to(dtype)
    return place_regions(draws, size, grid=grid, area=area, aspect=aspect)


def uniform(shape: tuple[int, ...], generator: torch.Generator, device: torch.device | str) -> Tensor:
    """Returns float32 draws in [0, 1), made on the device of the generator and moved to `device`."""
    draws = torch.rand(shape, generator=generator, device=generator.device)
    return draws.to(device, non_blocking=True)


def pixels_to_cells(boxes: Tensor, view_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Converts boxes from view pixels to mask cells: scaled by w / W and h / H, not rounded.

    Args:
        boxes: Boxes x1, y1, x2, y2 in pixels of the view, with exclusive right and bottom edges, `(..., 4)`.
        view_size: Size `(H, W)` of the view in pixels.
        size: Mask size `(h, w)` in cells.

    Returns:
        Boxes x1, y1, x2, y2 in cells, float32 `(..., 4)`.
    """
    scale_y, scale_x = size[0] / view_size[0], size[1] / view_size[1]
    x1, y1, x2, y2 = boxes.float().unbind(-1)
    return torch.stack((x1 * scale_x, y1 * scale_y, x2 * scale_x, y2 * scale_y), -1)


def check_regions(regions: Tensor, batch_size: int, size: tuple[int, int]) -> None:
    """Raises an error if regions do not fit a batch of views.

    The shape is always checked. The coordinates are checked on the CPU only, because reading them from another device
    would synchronize with it; on other devices, boxes that exceed the view are clipped.

    Args:
        regions: Boxes x1, y1, x2, y2 in mask cells, expected as `(B, K, 4)`.
        batch_size: Number of views B.
        size: Mask size `(h, w)` in cells.

    Raises:
        UserError: The shape is wrong, or a box lies outside the view; the message names the first such view and box.
    """
    if regions.dim() != 3 or regions.shape[0] != batch_size or regions.shape[2] != 4:
        raise UserError(
            f'regions must have the shape (B, K, 4) with B = {batch_size}, got '
            f'{tuple(regions.shape)}; pad every view to the same number of boxes K '
            '(an empty box, x1 = x2, cuts nothing).'
        )
    if regions.device.type != 'cpu':
        return
    height, width = size
    low, high = regions[..., :2], regions[..., 2:]
    limit = regions.new_tensor((width, height)) + TOLERANCE
    good = ((low >= -TOLERANCE) & (high <= limit) & (low <= high)).all(-1)
    if not good.all():
        # Values are read for the message alone, and of a tensor on the CPU.
        view, box = (~good).nonzero()[0].tolist()
        found = ', '.join(f'{value:g}' for value in regions[view, box].tolist())
        raise UserError(
            f'regions[{view}, {box}] = ({found}) is not a box (x1 <= x2, y1 <= y2) '
            f'inside the view of {width} x {height} cells (width x height); clip '
            'boxes to the view, and convert pixels with pixels_to_cells.'
        )
