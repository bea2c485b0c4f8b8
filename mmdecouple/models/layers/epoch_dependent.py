"""Modules that change with the epoch."""

from collections.abc import Sequence

from torch import nn


class EpochDependent:
    """A part of a method that changes with the epoch; `DenseAlgorithm` calls it wherever it is in the network."""

    def start_epoch(self, epoch: int) -> None:
        """Set what depends on the epoch, from 0; called before each, also after a resume in the middle of one."""

    def frozen(self, epoch: int) -> Sequence[nn.Parameter]:
        """Trained parameters that are not updated in an epoch (from 0), neither by a step nor by weight decay."""
        return ()
