"""Conversion of coordinates between a view and its source image.

The geometry of a view is (x, y, w, h, flip, source height, source width): its crop window in source pixels, whether it
was mirrored left to right (0 or 1), and the size of the source in pixels. Coordinates are continuous: pixel i covers
[i, i + 1).
"""

import torch


def view_to_source(points: torch.Tensor, geometry: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Converts points from view pixels to source pixels.

    Args:
        points: x, y in view pixels, (..., N, 2).
        geometry: Geometry of each view, (..., 7).
        size: Height and width of the views in pixels.

    Returns:
        x, y in source pixels, (..., N, 2).
    """
    corner, scale, flip = _frame(geometry, size)
    x = torch.where(flip, size[1] - points[..., 0], points[..., 0])
    return torch.stack(torch.broadcast_tensors(x, points[..., 1]), dim=-1) * scale + corner


def source_to_view(points: torch.Tensor, geometry: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Converts points from source pixels to view pixels; the inverse of `view_to_source`.

    Args:
        points: x, y in source pixels, (..., N, 2).
        geometry: Geometry of each view, (..., 7).
        size: Height and width of the views in pixels.

    Returns:
        x, y in view pixels, (..., N, 2); outside [0, size) for a point that the view does not show.
    """
    corner, scale, flip = _frame(geometry, size)
    inside = (points - corner) / scale
    x = torch.where(flip, size[1] - inside[..., 0], inside[..., 0])
    return torch.stack([x, inside[..., 1]], dim=-1)


def map_boxes(boxes: torch.Tensor, geometry: torch.Tensor, size: tuple[int, int], to: str) -> torch.Tensor:
    """Converts boxes from view pixels to source pixels, or the other way around.

    Args:
        boxes: x1, y1, x2, y2 in pixels, (..., N, 4).
        geometry: Geometry of each view, (..., 7).
        size: Height and width of the views in pixels.
        to: Target of the conversion, `source` or `view`.

    Returns:
        x1, y1, x2, y2 with x1 <= x2, not clipped, (..., N, 4).
    """
    move = dict(source=view_to_source, view=source_to_view)[to]
    first, second = move(boxes[..., :2], geometry, size), move(boxes[..., 2:], geometry, size)
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], dim=-1)


def _frame(geometry: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    corner = geometry[..., None, 0:2]
    scale = geometry[..., None, 2:4] / geometry.new_tensor([size[1], size[0]])
    return corner, scale, geometry[..., None, 4] > 0.5
