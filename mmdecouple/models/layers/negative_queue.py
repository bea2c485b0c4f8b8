"""The ring buffer of negatives that contrastive methods compare against."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from torch import Tensor, nn

from mmdecouple.utils.settings import Settings


class NegativeQueue(nn.Module):
    """The last `length` keys of all ranks, oldest overwritten first.

    Works for any batch size: writing wraps around the end, and a batch longer than the queue leaves its last
    `length` keys. The buffers are part of the checkpoint, so a resumed run sees the same negatives.

    Args:
        length: Number of keys Q.
        channels: Channels C of a key.

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
        """Write this step's keys of every rank.

        Args:
            keys: L2-normalized keys of this rank, (N, C). Every rank must pass the same N.
        """
        keys = torch.cat(all_gather(keys.to(self.keys.dtype).contiguous()))
        length = len(self.keys)
        skipped = max(len(keys) - length, 0)
        slots = torch.arange(skipped, len(keys), device=keys.device)
        self.keys.index_copy_(0, (self.pointer + slots) % length, keys[skipped:])
        self.pointer.add_(len(keys)).remainder_(length)
