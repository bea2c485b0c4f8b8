"""Shuffled batch norm: the teacher sees the batch in another order, across ranks, than the student."""

import torch
from mmengine.dist import all_gather, broadcast, get_rank, get_world_size
from torch import Tensor


# Inductor (torch 2.11) fails on indexing by a fresh permutation, so a compiled step leaves this one out.
@torch.compiler.disable
@torch.no_grad()
def batch_shuffle(images: Tensor) -> tuple[Tensor, Tensor]:
    """Exchange images between ranks by one random permutation of the global batch.

    Args:
        images: Images of this rank, (B, 3, H, W); every rank must hold the same B.

    Returns:
        The shuffled images of this rank, (B, 3, H, W), and the inverse permutation of the global batch,
        (world size * B,), for `batch_unshuffle`.

    Source: MoCo section 3.3, "Shuffling BN".
    """
    order = torch.randperm(len(images) * get_world_size(), device=images.device)
    broadcast(order, src=0)
    gathered = torch.cat(all_gather(images))
    return gathered[_share(order, len(images))], torch.argsort(order)


@torch.no_grad()
def batch_unshuffle(rows: Tensor, inverse: Tensor) -> Tensor:
    """Bring the rows (B, ...) computed from shuffled images back to this rank's own order."""
    gathered = torch.cat(all_gather(rows.contiguous()))
    return gathered[_share(inverse, len(rows))]


def _share(order: Tensor, size: int) -> Tensor:
    return order[get_rank() * size : (get_rank() + 1) * size]
