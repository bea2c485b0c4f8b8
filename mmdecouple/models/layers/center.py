"""The running center of a teacher's logits."""

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mmdecouple.utils.settings import Settings


class Center(nn.Module):
    """Exponential moving mean of the teacher's logits: c <- m c + (1 - m) mean, over the batches of all processes.

    It is a buffer of the algorithm, outside of what the EMA copies, and part of the checkpoint.

    Args:
        channels: K, number of logits.
        momentum: m in [0, 1].

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
        """Take in the mean logits (K,) of this process's batch; batches of all processes must be equally large."""
        mean = mean.float()
        all_reduce(mean, op='mean')
        self.value.lerp_(mean, 1 - self.momentum)
