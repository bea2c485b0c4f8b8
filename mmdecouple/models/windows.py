"""Sliding windows of one view, where another view shows them, and the mean of a map inside them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmdecouple.utils.geometry import map_boxes

# Pixels by which rounding may move the edge of a window that lies on the edge of both views.
_ROUNDING = 1e-6


class WindowPairs(NamedTuple):
    """The windows of B query views and their counterparts in the key views.

    Attributes:
        query: x1, y1, x2, y2 in [0, 1] of every query view, (K, 4).
        key: The same parts of the images in [0, 1] of the key views, (B, K, 4); outside it where the view ends earlier.
        shown: Indices in the flattened (B * K) of the windows that the key view shows entirely, ascending, (M,).
    """

    query: Tensor
    key: Tensor
    shown: Tensor

    def to(self, device: torch.device) -> 'WindowPairs':
        """On the device, without waiting for it."""
        return WindowPairs(*(part.to(device, non_blocking=True) for part in self))


def sliding_windows(view: Sequence[int], size: int, stride: int) -> Tensor:
    """Square windows that end before the last pixel of a view, in row-major order, (K, 4) in pixels, float64.

    Args:
        view: Height and width in pixels.
        size: Side of a window in pixels.
        stride: Pixels between the windows.
    """
    rows, columns = (torch.arange(0, side - size, stride, dtype=torch.float64) for side in view)
    corners = torch.cartesian_prod(rows, columns).flip(1)
    return torch.cat([corners, corners + size], dim=1)


def pair_windows(windows: Tensor, geometry: Tensor, query: Sequence[int], key: Sequence[int]) -> WindowPairs:
    """The windows of query views, and where the key views of the same images show them.

    A key view shows a window if the window begins inside the view and ends before its last edge.

    Args:
        windows: In pixels of the query views, (K, 4).
        geometry: Of the query views and the key views, (2, B, 7) as in `mmdecouple.utils.geometry`.
        query: Height and width of the query views in pixels.
        key: The same of the key views.
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
    """Mean of the bilinearly interpolated map inside each box (precise RoI pooling to one bin), float32.

    The value of the cell in row i and column j is at (j, i) of (w, h), not at the center of the cell; beyond the cells
    the interpolation falls to zero. Its integral is a sum over cells, whose weights are products of one integral along
    each axis, so that pooling is a matrix product and exact.

    Args:
        maps: (N, C, h, w).
        boxes: x1, y1, x2, y2 in [0, 1], of positive area, (N, K, 4), or (K, 4) for the same in every map.

    Returns:
        (N, K, C).

    Source: arXiv 1807.11590, eq. 4.
    """
    with torch.autocast(maps.device.type, enabled=False):
        columns, rows = (_axis_weights(boxes[..., axis::2].float(), maps.shape[3 - axis]) for axis in (0, 1))
        weight = (rows[..., :, None] * columns[..., None, :]).flatten(-2)
        return weight @ maps.float().flatten(2).transpose(1, 2)


def _axis_weights(spans: Tensor, cells: int) -> Tensor:
    """Mean of each cell's triangle max(1 - |x - j|, 0) over spans in [0, 1]: (..., K, 2) -> (..., K, cells)."""
    spans = spans * cells
    distance = (spans[..., None] - torch.arange(cells, device=spans.device, dtype=spans.dtype)).clamp(-1, 1)
    start, end = (distance - distance * distance.abs() / 2).unbind(-2)
    return (end - start) / (spans[..., 1:] - spans[..., :1])
