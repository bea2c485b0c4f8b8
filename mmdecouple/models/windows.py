"""Sliding windows of a view, their counterparts in another view, the means of maps inside them, and their loss."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmdecouple.models.losses import SharedNegatives
from mmdecouple.utils.geometry import map_boxes

# Pixels by which rounding may move the edge of a window that is on the edge of both views.
_ROUNDING = 1e-6


class WindowPairs(NamedTuple):
    """Windows of B query views and their counterparts in the key views.

    Attributes:
        query: x1, y1, x2, y2 as fractions of a query view, in [0, 1], the same for all images, (K, 4).
        key: The same parts of the images as fractions of the key views, (B, K, 4); outside [0, 1] where the key view
            does not show them.
        shown: Indices into the flattened (B * K) windows of those that the key view shows completely, ascending, (M,).
    """

    query: Tensor
    key: Tensor
    shown: Tensor

    def to(self, device: torch.device) -> 'WindowPairs':
        """Copies the windows to a device without synchronizing with it."""
        return WindowPairs(*(part.to(device, non_blocking=True) for part in self))


def sliding_windows(view: Sequence[int], size: int, stride: int) -> Tensor:
    """Returns the square windows that end before the last pixel of a view.

    Args:
        view: Height and width of the view in pixels.
        size: Side of a window in pixels.
        stride: Distance between the starts of two windows in pixels.

    Returns:
        x1, y1, x2, y2 in pixels, in row-major order, float64 (K, 4).
    """
    rows, columns = (torch.arange(0, side - size, stride, dtype=torch.float64) for side in view)
    corners = torch.cartesian_prod(rows, columns).flip(1)
    return torch.cat([corners, corners + size], dim=1)


def pair_windows(windows: Tensor, geometry: Tensor, query: Sequence[int], key: Sequence[int]) -> WindowPairs:
    """Computes the counterparts of windows of the query views in the key views of the same images.

    A key view shows a window if the window starts inside the view and ends before its right and bottom edges.

    Args:
        windows: x1, y1, x2, y2 in pixels of the query views, (K, 4).
        geometry: Geometry of the query views and of the key views, (2, B, 7), as in `mmdecouple.utils.geometry`.
        query: Height and width of the query views in pixels.
        key: Height and width of the key views in pixels.
    """
    first, second = geometry.double()
    mapped = map_boxes(map_boxes(windows.double(), first, query, 'source'), second, key, 'view')
    end = mapped.new_tensor([key[1], key[0]])
    shown = (mapped[..., :2] >= -_ROUNDING).all(2) & (mapped[..., 2:] < end).all(2)
    query_scale, key_scale = (mapped.new_tensor([size[1], size[0]] * 2) for size in (query, key))
    return WindowPairs(
        (windows / query_scale).float(), (mapped / key_scale).float(), shown.flatten().nonzero().flatten()
    )


def pool_windows(maps: Tensor, boxes: Tensor) -> Tensor:
    """Returns the mean of the bilinearly interpolated map inside each box: precise RoI pooling to one bin.

    The value of the cell in row i and column j is at x = j, y = i and not at the center of the cell; beyond the cells
    the interpolation falls to zero. Its integral is a sum over cells whose weights are products of an integral along
    each axis, so that a matrix product computes it exactly.

    Args:
        maps: Feature maps, (N, C, h, w).
        boxes: x1, y1, x2, y2 as fractions of the map, in [0, 1], of positive area, (N, K, 4), or (K, 4) for the same
            boxes in every map.

    Returns:
        Means, float32 (N, K, C).

    Source: arXiv 1807.11590, eq. 4.
    """
    with torch.autocast(maps.device.type, enabled=False):
        columns, rows = (_axis_weights(boxes[..., axis::2].float(), maps.shape[3 - axis]) for axis in (0, 1))
        weight = (rows[..., :, None] * columns[..., None, :]).flatten(-2)
        return weight @ maps.float().flatten(2).transpose(1, 2)


def window_loss(student: Tensor, teacher: Tensor, windows: WindowPairs, objective: SharedNegatives) -> Tensor:
    """Returns the mean loss of the windows that the key views show, 0 for none.

    Args:
        student: Maps of the query views, (B, C, h, w).
        teacher: Maps of the key views, (B, C, h, w).
        windows: Windows of the query views and their counterparts.
        objective: Loss of a pair of windows.
    """
    query, key = pool_windows(student, windows.query), pool_windows(teacher, windows.key)
    matched = (pooled.flatten(0, 1)[windows.shown] for pooled in (query, key))
    return objective.dense_loss(*matched).sum() / max(len(windows.shown), 1)


def _axis_weights(spans: Tensor, cells: int) -> Tensor:
    """Returns the mean of max(1 - |x - j|, 0) over spans in [0, 1] for each cell j: (..., K, 2) -> (..., K, cells)."""
    spans = spans * cells
    distance = (spans[..., None] - torch.arange(cells, device=spans.device, dtype=spans.dtype)).clamp(-1, 1)
    start, end = (distance - distance * distance.abs() / 2).unbind(-2)
    return (end - start) / (spans[..., 1:] - spans[..., :1])
