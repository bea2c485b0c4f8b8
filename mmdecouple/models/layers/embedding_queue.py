"""Queue of embeddings that is used only when it is full."""

import torch
from torch import Tensor, nn

from mmdecouple.utils.settings import Settings


class EmbeddingQueue(nn.Module):
    """The latest foreground embeddings, with which a small batch can be distributed evenly over many prototypes.

    The rows are ignored until the queue is full. `valid` is a weight on the device, so that this does not require a
    synchronization.

    Args:
        length: Number of rows, at least 0.
        channels: Width C of an embedding, at least 1.

    Raises:
        SettingError: A value is out of range.

    Source: `MkuuWaUjinga/leopart src/leopart.py` (`queue`), one for each global view and process.
    """

    # Checkpoints hold the queues of all processes.
    of_each_rank = True

    def __init__(self, length: int, channels: int) -> None:
        super().__init__()
        check = Settings(self)
        check.number('length', length, 0, whole=True)
        check.number('channels', channels, 1, whole=True)
        self.register_buffer('rows', torch.zeros(length, channels))
        self.register_buffer('stored', torch.zeros((), dtype=torch.long))

    @property
    def valid(self) -> Tensor:
        """Weight of each row, (length,): 1 if the queue is full, 0 otherwise."""
        return (self.stored >= len(self.rows)).float().expand(len(self.rows))

    @torch.no_grad()
    def push(self, embeddings: Tensor, foreground: Tensor, count: int) -> None:
        """Stores randomly chosen foreground embeddings in front of the queue.

        If there are fewer foreground embeddings than `count`, they are repeated; without any foreground, all embeddings
        are candidates.

        Args:
            embeddings: Embeddings, (N, C).
            foreground: 1 for foreground and 0 otherwise, (N,).
            count: Number of embeddings to store.
        """
        count = min(count, len(self.rows))
        order = (foreground + torch.rand_like(foreground)).argsort(descending=True)
        found = foreground.sum().long()
        found = torch.where(found > 0, found, len(embeddings))
        chosen = order[torch.arange(count, device=order.device) % found]
        self.rows.copy_(torch.cat([embeddings[chosen].to(self.rows.dtype), self.rows[: len(self.rows) - count]]))
        self.stored += count
