"""From pixels of a view to pixels of its source image, and back.

A view's geometry is (x, y, w, h, flip, source height, source width): its crop window in source
pixels, whether it was mirrored left to right, and the source's size. Points are continuous: pixel
i covers [i, i + 1).
"""

import torch


def view_to_source(points: torch.Tensor, geometry: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Where points of views lie in their source images.

    Args:
        points: (..., N, 2) x, y in view pixels.
        geometry: (..., 7) geometry of each view.
        size: Height and width of the views in pixels.

    Returns:
        (..., N, 2) x, y in source pixels.
    """
    corner, scale, flip = _frame(geometry, size)
    x = torch.where(flip, size[1] - points[..., 0], points[..., 0])
    return torch.stack(torch.broadcast_tensors(x, points[..., 1]), dim=-1) * scale + corner


def source_to_view(points: torch.Tensor, geometry: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Where points of source images lie in their views; inverse of ``view_to_source``.

    Args:
        points: (..., N, 2) x, y in source pixels.
        geometry: (..., 7) geometry of each view.
        size: Height and width of the views in pixels.

    Returns:
        (..., N, 2) x, y in view pixels; outside [0, size) where the view does not show the point.
    """
    corner, scale, flip = _frame(geometry, size)
    inside = (points - corner) / scale
    x = torch.where(flip, size[1] - inside[..., 0], inside[..., 0])
    return torch.stack([x, inside[..., 1]], dim=-1)


def map_boxes(boxes: torch.Tensor, geometry: torch.Tensor, size: tuple[int, int], to: str) -> torch.Tensor:
    """Boxes of views in their source images, or of source images in their views.

    Args:
        boxes: (..., N, 4) x1, y1, x2, y2 in pixels.
        geometry: (..., 7) geometry of each view.
        size: Height and width of the views in pixels.
        to: ``source`` or ``view``.

    Returns:
        (..., N, 4) boxes with x1 <= x2, not clipped.
    """
    move = dict(source=view_to_source, view=source_to_view)[to]
    first, second = move(boxes[..., :2], geometry, size), move(boxes[..., 2:], geometry, size)
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], dim=-1)


def _frame(geometry: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    corner = geometry[..., None, 0:2]
    scale = geometry[..., None, 2:4] / geometry.new_tensor([size[1], size[0]])
    return corner, scale, geometry[..., None, 4] > 0.5
