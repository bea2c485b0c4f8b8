"""Shuffled batch norm: the teacher processes the global batch in another order than the student."""

import torch
from mmengine.dist import broadcast, get_rank, get_world_size
from torch import Tensor

from mmdecouple.utils.compatibility import gathered


# Inductor (torch 2.11) fails on indexing by a fresh permutation, so that this function is not compiled.
@torch.compiler.disable
@torch.no_grad()
def batch_shuffle(images: Tensor) -> tuple[Tensor, Tensor]:
    """Exchanges images between ranks by one random permutation of the global batch.

    Args:
        images: Images of this rank, (B, 3, H, W); B must be the same on every rank.

    Returns:
        The shuffled images of this rank, (B, 3, H, W), and the inverse permutation of the global batch,
        (world size * B,), for `batch_unshuffle`.

    Source: MoCo section 3.3, "Shuffling BN".
    """
    order = torch.randperm(len(images) * get_world_size(), device=images.device)
    broadcast(order, src=0)
    return gathered(images)[_of_this_rank(order, len(images))], torch.argsort(order)


@torch.no_grad()
def batch_unshuffle(rows: Tensor, inverse: Tensor) -> Tensor:
    """Restores the original order of outputs of shuffled images.

    Args:
        rows: Outputs of the shuffled images of this rank, (B, ...).
        inverse: Inverse permutation from `batch_shuffle`, (world size * B,).

    Returns:
        Outputs of the original images of this rank, (B, ...).
    """
    return gathered(rows)[_of_this_rank(inverse, len(rows))]


def _of_this_rank(order: Tensor, size: int) -> Tensor:
    return order[get_rank() * size : (get_rank() + 1) * size]
