"""Interface of modules that depend on the epoch."""

from collections.abc import Sequence

from torch import nn


class EpochDependent:
    """Mixin for modules that depend on the epoch; `DenseAlgorithm` calls them anywhere in the network."""

    def start_epoch(self, epoch: int) -> None:
        """Sets everything that depends on the epoch (from 0); called before each epoch and after a resume."""

    def frozen(self, epoch: int) -> Sequence[nn.Parameter]:
        """Returns trainable parameters that neither steps nor weight decay change in an epoch (from 0)."""
        return ()

    def begins(self) -> dict[str, int]:
        """Returns settings that delay a part of the training -> the epoch (from 0) in which this part begins."""
        return {}


def epoch_dependent(network: nn.Module) -> list[EpochDependent]:
    """Returns the modules of a network that depend on the epoch."""
    return [module for module in network.modules() if isinstance(module, EpochDependent)]
