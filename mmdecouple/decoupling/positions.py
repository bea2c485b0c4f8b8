"""Positions of dense features that a loss is computed on."""

from typing import NamedTuple

import torch
from torch import Tensor


class PositionSet(NamedTuple):
    """Some of the positions of N views: the foreground of decoupled views, or masked patches.

    Attributes:
        mask: 1 at the chosen positions and 0 elsewhere, (N, P).
        positions: Indices of the chosen positions in the flattened (N * P), ascending, (M,). Their number is known
            without asking the device.
        weight: Weight of each position in the loss, 0 where it is not chosen, (N, P): by default 1 / (N |F_n|), the
            mean over a view and then over views.
        max_per_view: Largest number of chosen positions of one view.
    """

    mask: Tensor
    positions: Tensor
    weight: Tensor
    max_per_view: int

    @classmethod
    def of(cls, mask: Tensor) -> 'PositionSet':
        """From a mask of 0 and 1 on the CPU, (N, P)."""
        weight = mask / mask.sum(1, keepdim=True).clamp(min=1) / len(mask)
        return cls(mask, mask.flatten().nonzero().flatten(), weight, int(mask.sum(1).max()))

    def to(self, device: torch.device) -> 'PositionSet':
        """On the device, without waiting for it."""
        mask, positions, weight = (part.to(device, non_blocking=True) for part in self[:3])
        return PositionSet(mask, positions, weight, self.max_per_view)

    def select(self, values: Tensor) -> Tensor:
        """Values at the chosen positions: (N, P, ...) -> (M, ...)."""
        return values.flatten(0, 1)[self.positions]
