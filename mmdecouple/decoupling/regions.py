"""Regions (box proposals) of views, and pooling inside them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Regions(NamedTuple):
    """Regions of N views.

    Attributes:
        boxes: x1, y1, x2, y2 as fractions of the flipped view, in [0, 1], (N, K, 4).
        ids: Index of the proposal that a box shows, (N, K). Boxes of two views with the same id correspond.
    """

    boxes: Tensor
    ids: Tensor

    @classmethod
    def cat(cls, parts: Sequence['Regions']) -> 'Regions':
        """Concatenates the regions of several sets of views."""
        return cls(*(torch.cat(part) for part in zip(*parts)))

    def to(self, device: torch.device) -> 'Regions':
        """Copies the regions to a device without synchronizing with it."""
        return Regions(*(part.to(device, non_blocking=True) for part in self))

    def at(self, rows: Tensor) -> 'Regions':
        """Returns the regions of the views at `rows`, (D,)."""
        return Regions(*(part[rows] for part in self))

    def first(self) -> Tensor:
        """Returns whether a box is the first one with its id in its view, bool (N, K); repeated boxes are padding."""
        same = self.ids[:, :, None] == self.ids[:, None]
        return ~same.tril(-1).any(2)


def pool_regions(maps: Tensor, boxes: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Pools feature maps inside boxes by RoIAlign (`aligned=True`).

    Args:
        maps: Feature maps, (N, C, h, w).
        boxes: x1, y1, x2, y2 as fractions of the map, in [0, 1], (N, K, 4).
        size: Bins along each side of a box, or (height, width).

    Returns:
        Pooled features, float32 (N * K, C, size, size).
    """
    # Imported here because masks and grids work without torchvision.
    from torchvision.ops import roi_align

    scale = boxes.new_tensor([maps.shape[3], maps.shape[2]] * 2)
    index = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype).repeat_interleave(boxes.shape[1])
    rows = torch.cat([index[:, None], (boxes * scale).flatten(0, 1)], dim=1)
    return roi_align(maps.float(), rows, size, aligned=True)


def uncut_fraction(cut_mask: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Returns the fraction of each bin of each box that a cut mask leaves uncut.

    Args:
        cut_mask: Bool (N, h, w), True where a cell is cut.
        boxes: x1, y1, x2, y2 as fractions of the view, in [0, 1], (N, K, 4).
        size: Bins along each side of a box.

    Returns:
        Fractions in [0, 1], (N, K, size, size).
    """
    return pool_regions((~cut_mask).float()[:, None], boxes, size).view(*boxes.shape[:2], size, size)
