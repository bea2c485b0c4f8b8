"""Ring buffer of negatives for contrastive methods."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.utils.compatibility import gathered
from mmdecouple.utils.settings import Settings


class NegativeQueue(nn.Module):
    """The last `length` keys of all ranks; the oldest keys are overwritten first.

    The queue accepts any batch size: writing wraps around the end, and of a batch longer than the queue, the last
    `length` keys are stored. The buffers are part of the checkpoint, so that a resumed run has the same negatives.

    Args:
        length: Number of keys Q, at least 1.
        channels: Channels C of a key, at least 1.

    Raises:
        SettingError: A value is out of range.

    Source: MoCo, facebookresearch/moco `moco/builder.py` (there the batch must divide the queue).
    """

    def __init__(self, length: int, channels: int) -> None:
        super().__init__()
        check = Settings(self)
        check.number('length', length, 1, whole=True)
        check.number('channels', channels, 1, whole=True)
        self.register_buffer('keys', F.normalize(torch.randn(length, channels), dim=1))
        self.register_buffer('pointer', torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Stores the keys of one step from all ranks.

        Args:
            keys: L2-normalized keys of this rank, (N, C); N must be the same on every rank.
        """
        keys = gathered(keys.to(self.keys.dtype))
        length = len(self.keys)
        skipped = max(len(keys) - length, 0)
        slots = torch.arange(skipped, len(keys), device=keys.device)
        self.keys.index_copy_(0, (self.pointer + slots) % length, keys[skipped:])
        self.pointer.add_(len(keys)).remainder_(length)
