"""First epochs in which the backbone is frozen and the rest of a method is trained."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .epoch_dependent import EpochDependent


class BackboneFreezing(EpochDependent, nn.Module):
    """Keeps the backbone unchanged in the first epochs, without a backward pass through it.

    In these epochs, the backbones of student and teacher are in evaluation mode, so that running statistics do not
    change and no path is dropped. At the start from a weight file both are equal, so that averaging does not change the
    teacher's either; the teacher of a loaded checkpoint approaches the frozen student.

    Args:
        student: Backbone of the student.
        teacher: Backbone of the teacher.
        epochs: Number of epochs; 0 never freezes.

    Attributes:
        active: Whether the backbone is frozen in the current epoch.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, epochs: int) -> None:
        super().__init__()
        # In a tuple, which does not register them as modules of this one.
        self._backbones = student, teacher
        self.epochs = epochs
        self.active = False

    def start_epoch(self, epoch: int) -> None:
        """Freezes in the first epochs; the loop calls `train` of the model afterwards."""
        self.active = epoch < self.epochs

    def begins(self) -> dict[str, int]:
        """See `EpochDependent`: the training of the backbone."""
        return {'model.frozen_backbone_epochs': self.epochs}

    def frozen(self, epoch: int) -> Sequence[nn.Parameter]:
        """Returns the parameters of the backbone in the first epochs."""
        return self._trained() if epoch < self.epochs else ()

    def train(self, mode: bool = True) -> 'BackboneFreezing':
        """Sets frozen backbones to evaluation mode; it runs after theirs, as this module is registered after them."""
        if self.active:
            for backbone in self._backbones:
                backbone.eval()
        return super().train(mode)

    def forward(self, student_forward: Callable[..., Any], step: Any) -> Any:
        """Returns `student_forward(step)`; a frozen backbone records nothing for the backward pass."""
        if not self.active:
            return student_forward(step)
        parameters = self._trained()
        _require_gradients(parameters, False)
        try:
            return student_forward(step)
        finally:
            _require_gradients(parameters, True)

    def connected(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the losses, connected to a frozen backbone by a zero, so that DDP gets all gradients it waits for."""
        if not self.active:
            return losses
        name = next(name for name in losses if name.startswith('loss'))
        return {**losses, name: losses[name] + 0.0 * sum(parameter.sum() for parameter in self._trained())}

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self._backbones[0].parameters() if parameter.requires_grad]


# Not compiled: the flags are state of the host.
@torch.compiler.disable
def _require_gradients(parameters: Sequence[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)
