"""Schedule of the temperature of a teacher's softmax."""

import torch
from torch import nn

from mmdecouple.utils.settings import Settings

from .epoch_dependent import EpochDependent


class TeacherTemperature(EpochDependent, nn.Module):
    """Temperature whose `value` changes linearly from `first` to `last` over the first epochs of a run.

    Args:
        first: Temperature of epoch 0, above 0.
        last: Temperature from epoch `warmup_epochs` - 1, above 0.
        warmup_epochs: Number of epochs of the linear change, at least 0; 0 for `last` in all epochs.

    Raises:
        SettingError: A value is out of range.

    Source: DINO section 3.1; `facebookresearch/dino main_dino.py` (`teacher_temp_schedule`).
    """

    def __init__(self, first: float, last: float, warmup_epochs: int) -> None:
        super().__init__()
        check = Settings(self)
        check.number('first', first, above=0)
        check.number('last', last, above=0)
        check.number('warmup_epochs', warmup_epochs, 0, whole=True)
        self.first, self.last, self.warmup_epochs = first, last, warmup_epochs
        # A tensor, so that a new epoch neither recompiles the step nor synchronizes with the device.
        self.register_buffer('value', torch.empty(()), persistent=False)
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Sets the temperature of an epoch (from 0)."""
        done = min(epoch / max(self.warmup_epochs - 1, 1), 1) if self.warmup_epochs else 1
        self.value.fill_(self.first + (self.last - self.first) * done)
