"""The samples of a batch, and the tensors that are stacked from them."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmdecouple.decoupling import Regions
from mmdecouple.utils.errors import UserError


class Samples(Sequence):
    """The B samples of a batch. Their regions and geometry are stacked once, however many parts of a step read them.

    Not a list, so that `DistributedDataParallel` passes it on as it is: masks are drawn on regions on the CPU.

    Args:
        samples: Samples with, as the data set made them, `boxes` (V, K, 4) and `box_ids` (V, K), and `geometry` (V, 7);
            None for none.
    """

    def __init__(self, samples: Iterable[Any] | None = None) -> None:
        self._samples = list(samples or ())

    def __getitem__(self, index: int) -> Any:
        return self._samples[index]

    def __len__(self) -> int:
        return len(self._samples)

    def regions(self, owner: str) -> list[Regions]:
        """Regions of each view, on the CPU.

        Args:
            owner: Class that reads them, for the message.

        Raises:
            UserError: For samples without boxes.
        """
        if not len(self) or not hasattr(self[0], 'boxes'):
            raise UserError(
                f'{owner}: the samples have no boxes; draw the views with BoxViews and a source of '
                'proposals (LoadProposals or GridProposals) before it.'
            )
        return self._regions

    def geometry(self, owner: str) -> Tensor:
        """Geometry of each view, (V, B, 7) as in `mmdecouple.utils.geometry`, on the CPU.

        Args:
            owner: Class that reads it, for the message.

        Raises:
            UserError: For samples without geometry.
        """
        if not len(self) or not hasattr(self[0], 'geometry'):
            raise UserError(f'{owner}: the samples have no geometry; end the pipeline with PackViews.')
        return self._geometry

    @cached_property
    def _regions(self) -> list[Regions]:
        boxes, ids = (torch.stack([getattr(sample, name) for sample in self], dim=1) for name in ('boxes', 'box_ids'))
        return [Regions(*parts) for parts in zip(boxes, ids)]

    @cached_property
    def _geometry(self) -> Tensor:
        return torch.stack([sample.geometry for sample in self], dim=1)
