"""The samples of a batch and their stacked tensors."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmdecouple.decoupling import Regions
from mmdecouple.utils.errors import UserError


class Samples(Sequence):
    """The B samples of a batch, with their regions and geometry stacked once per step.

    This class is not a list, so that `DistributedDataParallel` does not move its tensors: masks are drawn on regions on
    the CPU.

    Args:
        samples: Samples with the optional fields `boxes` (V, K, 4), `box_ids` (V, K), `geometry` (V, 7),
            `operations` (V, S, 2) and `recipes` (V, 10) of the data set; None for no samples.
    """

    def __init__(self, samples: Iterable[Any] | None = None) -> None:
        self._samples = list(samples or ())

    def __getitem__(self, index: int) -> Any:
        return self._samples[index]

    def __len__(self) -> int:
        return len(self._samples)

    def regions(self, owner: str) -> list[Regions]:
        """Returns the regions of each view, on the CPU.

        Args:
            owner: Class that reads them, for the error message.

        Raises:
            UserError: The samples have no boxes.
        """
        if not len(self) or not hasattr(self[0], 'boxes'):
            raise UserError(
                f'{owner}: the samples have no boxes; draw the views with BoxViews and a source of '
                'proposals (LoadProposals or GridProposals) before it.'
            )
        return self._regions

    def geometry(self, owner: str) -> Tensor:
        """Returns the geometry of each view, (V, B, 7) as in `mmdecouple.utils.geometry`, on the CPU.

        Args:
            owner: Class that reads it, for the error message.

        Raises:
            UserError: The samples have no geometry.
        """
        if not len(self) or not hasattr(self[0], 'geometry'):
            raise UserError(f'{owner}: the samples have no geometry; end the pipeline with PackViews.')
        return self._geometry

    def operations(self) -> list[Tensor] | None:
        """Returns the photometric operations that the device applies to each view, (B, S, 2), on the CPU.

        See `mmdecouple.utils.photometry`. Samples without operations get none. The result is None if no sample has any.
        """
        found = [getattr(sample, 'operations', None) for sample in self]
        given = [each for each in found if each is not None]
        if not given:
            return None
        numbers = given[0].new_zeros(len(given[0]), len(self), max(each.shape[1] for each in given), 2)
        for index, each in enumerate(found):
            if each is not None:
                numbers[:, index, : each.shape[1]] = each
        return list(numbers)

    def recipes(self) -> Tensor | None:
        """Returns the recipes of the views that the device cuts out, (V, B, 10) as in `Recipe`, on the CPU, or None."""
        if not len(self) or not hasattr(self[0], 'recipes'):
            return None
        return torch.stack([sample.recipes for sample in self], dim=1)

    @cached_property
    def _regions(self) -> list[Regions]:
        boxes, ids = (torch.stack([getattr(sample, name) for sample in self], dim=1) for name in ('boxes', 'box_ids'))
        return [Regions(*parts) for parts in zip(boxes, ids)]

    @cached_property
    def _geometry(self) -> Tensor:
        return torch.stack([sample.geometry for sample in self], dim=1)
