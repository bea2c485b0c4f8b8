"""Regions (box proposals) of a batch, and pooling inside them."""
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.ops import roi_align

from mmdecouple.utils.errors import UserError


class Regions(NamedTuple):
    """Regions of views.

    Attributes:
        boxes: x1, y1, x2, y2 in [0, 1] of the view, as it is after its flip, (N, K, 4).
        ids: Which proposal a box shows; boxes of two views with one id correspond, (N, K).
    """
    boxes: Tensor
    ids: Tensor

    def to(self, device: torch.device) -> 'Regions':
        """On the device, without waiting for it."""
        return Regions(*(part.to(device, non_blocking=True) for part in self))

    def first(self) -> Tensor:
        """Whether a box is the first of its view with its id: the others only fill up the number, bool (N, K)."""
        same = self.ids[:, :, None] == self.ids[:, None]
        return ~same.tril(-1).any(2)


def regions_of(samples: list[Any] | None, owner: str) -> list[Regions]:
    """Regions that the data drew, one entry a view, on the CPU.

    Args:
        samples: Samples of a batch with `boxes` (V, K, 4) and `box_ids` (V, K).
        owner: Who asks, for the message.

    Raises:
        ValueError: For samples without boxes.
    """
    if not samples or not hasattr(samples[0], 'boxes'):
        raise UserError(f'{owner}: the samples have no boxes; draw the views with BoxViews and a source of proposals '
                        '(LoadProposals or GridProposals) before it.')
    boxes = torch.stack([sample.boxes for sample in samples], dim=1)
    ids = torch.stack([sample.box_ids for sample in samples], dim=1)
    return [Regions(*parts) for parts in zip(boxes, ids)]


def pool_regions(maps: Tensor, boxes: Tensor, size: int) -> Tensor:
    """RoIAlign (aligned) of boxes in [0, 1]: maps (N, C, h, w), boxes (N, K, 4) -> (N * K, C, size, size), float32."""
    scale = boxes.new_tensor([maps.shape[3], maps.shape[2]] * 2)
    index = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype).repeat_interleave(boxes.shape[1])
    rows = torch.cat([index[:, None], (boxes * scale).flatten(0, 1)], dim=1)
    return roi_align(maps.float(), rows, size, aligned=True)


def uncut_share(cut_mask: Tensor, boxes: Tensor, size: int) -> Tensor:
    """How much of each bin of each box is left by a cut mask: (N, h, w), (N, K, 4) -> (N, K, size, size) in [0, 1]."""
    return pool_regions((~cut_mask).float()[:, None], boxes, size).view(*boxes.shape[:2], size, size)
