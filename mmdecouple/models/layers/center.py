"""Running center of a teacher's logits."""

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mmdecouple.utils.settings import Settings


class Center(nn.Module):
    """Exponential moving mean of the teacher's logits: c <- m c + (1 - m) mean, over the batches of all processes.

    The center is a buffer of the algorithm and part of its checkpoint; the EMA teacher does not copy it.

    Args:
        channels: Number of logits K, at least 1.
        momentum: m, in [0, 1].

    Raises:
        SettingError: A value is out of range.

    Source: DINO eq. 4; `facebookresearch/dino main_dino.py` (`update_center`).
    """

    def __init__(self, channels: int, momentum: float = 0.9) -> None:
        super().__init__()
        check = Settings(self)
        check.number('channels', channels, 1, whole=True)
        check.number('momentum', momentum, 0, 1)
        self.momentum = momentum
        self.register_buffer('value', torch.zeros(channels))

    @torch.no_grad()
    def update(self, mean: Tensor) -> None:
        """Updates the center with the mean logits (K,) of this process; all processes must have the same batch size."""
        mean = mean.float()
        all_reduce(mean, op='mean')
        self.value.lerp_(mean, 1 - self.momentum)
