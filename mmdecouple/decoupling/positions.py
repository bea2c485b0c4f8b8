"""Positions of dense features that a loss is computed on."""

from typing import NamedTuple

import torch
from torch import Tensor


class PositionSet(NamedTuple):
    """A subset of the positions of N views: the foreground of decoupled views, or masked patches.

    Attributes:
        mask: 1 at the chosen positions and 0 elsewhere, (N, P).
        positions: Indices of the M chosen positions in the flattened (N * P), ascending, (M,). M is known without
            synchronizing with the device.
        weight: Weight of each position in the loss, 0 at positions that are not chosen, (N, P). By default it is
            1 / (N |F_n|), which gives the mean over each view and then over views.
        max_per_view: Largest number of chosen positions in one view.
    """

    mask: Tensor
    positions: Tensor
    weight: Tensor
    max_per_view: int

    @classmethod
    def of(cls, mask: Tensor) -> 'PositionSet':
        """Builds the set from a mask of 0 and 1 on the CPU, (N, P)."""
        weight = mask / mask.sum(1, keepdim=True).clamp(min=1) / len(mask)
        return cls(mask, mask.flatten().nonzero().flatten(), weight, int(mask.sum(1).max()))

    def to(self, device: torch.device) -> 'PositionSet':
        """Copies the set to a device without synchronizing with it."""
        mask, positions, weight = (part.to(device, non_blocking=True) for part in self[:3])
        return PositionSet(mask, positions, weight, self.max_per_view)

    def select(self, values: Tensor) -> Tensor:
        """Returns the values at the chosen positions: (N, P, ...) -> (M, ...)."""
        return values.flatten(0, 1)[self.positions]
