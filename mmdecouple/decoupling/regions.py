"""Regions (box proposals) of views, and pooling inside them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Regions(NamedTuple):
    """Regions of N views.

    Attributes:
        boxes: x1, y1, x2, y2 in [0, 1] of the view, as it is after its flip, (N, K, 4).
        ids: Number of the proposal that a box shows; boxes of two views with one id correspond, (N, K).
    """

    boxes: Tensor
    ids: Tensor

    @classmethod
    def cat(cls, parts: Sequence['Regions']) -> 'Regions':
        """Regions of several sets of views, one after the other."""
        return cls(*(torch.cat(part) for part in zip(*parts)))

    def to(self, device: torch.device) -> 'Regions':
        """On the device, without waiting for it."""
        return Regions(*(part.to(device, non_blocking=True) for part in self))

    def at(self, rows: Tensor) -> 'Regions':
        """Regions of some of the views, by their rows (D,)."""
        return Regions(*(part[rows] for part in self))

    def first(self) -> Tensor:
        """Whether a box is the first of its view with its id: the others only fill up the number, bool (N, K)."""
        same = self.ids[:, :, None] == self.ids[:, None]
        return ~same.tril(-1).any(2)


def pool_regions(maps: Tensor, boxes: Tensor, size: int) -> Tensor:
    """RoIAlign (aligned) of boxes in [0, 1]: maps (N, C, h, w), boxes (N, K, 4) -> (N * K, C, size, size), float32."""
    # The only need of torchvision: masks and grids work without it.
    from torchvision.ops import roi_align

    scale = boxes.new_tensor([maps.shape[3], maps.shape[2]] * 2)
    index = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype).repeat_interleave(boxes.shape[1])
    rows = torch.cat([index[:, None], (boxes * scale).flatten(0, 1)], dim=1)
    return roi_align(maps.float(), rows, size, aligned=True)


def uncut_share(cut_mask: Tensor, boxes: Tensor, size: int) -> Tensor:
    """How much of each bin of each box is left by a cut mask: (N, h, w), (N, K, 4) -> (N, K, size, size) in [0, 1]."""
    return pool_regions((~cut_mask).float()[:, None], boxes, size).view(*boxes.shape[:2], size, size)
