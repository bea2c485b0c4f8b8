"""A queue of embeddings that counts only when it is full."""

import torch
from torch import Tensor, nn

from mmdecouple.utils.settings import Settings


class EmbeddingQueue(nn.Module):
    """The latest foreground embeddings, so that a small batch can be spread evenly over many prototypes.

    Until it is full its rows take no part: `valid` is a weight on the device, so nobody asks whether it is.

    Args:
        length: Rows, >= 0.
        channels: C, width of an embedding.

    Source: `MkuuWaUjinga/leopart src/leopart.py` (`queue`), one for each global view and process.
    """

    def __init__(self, length: int, channels: int) -> None:
        super().__init__()
        check = Settings(self)
        check.number('length', length, 0, whole=True)
        check.number('channels', channels, 1, whole=True)
        self.register_buffer('rows', torch.zeros(length, channels))
        self.register_buffer('stored', torch.zeros((), dtype=torch.long))

    @property
    def valid(self) -> Tensor:
        """1 for every row once all are filled, before that 0: (length,)."""
        return (self.stored >= len(self.rows)).float().expand(len(self.rows))

    @torch.no_grad()
    def push(self, embeddings: Tensor, foreground: Tensor, count: int) -> None:
        """Put a random choice of foreground embeddings in front.

        With fewer foreground embeddings than places they are repeated; with none at all any embedding serves.

        Args:
            embeddings: Embeddings, (N, C).
            foreground: 1 where there is foreground, (N,).
            count: How many to store.
        """
        count = min(count, len(self.rows))
        order = (foreground + torch.rand_like(foreground)).argsort(descending=True)
        found = foreground.sum().long()
        found = torch.where(found > 0, found, len(embeddings))
        chosen = order[torch.arange(count, device=order.device) % found]
        self.rows.copy_(torch.cat([embeddings[chosen].to(self.rows.dtype), self.rows[: len(self.rows) - count]]))
        self.stored += count
