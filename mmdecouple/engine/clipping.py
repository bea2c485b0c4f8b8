"""Gradient clipping per tensor."""

from collections.abc import Iterable

import torch


@torch.no_grad()
def clip_each_tensor_(parameters: Iterable[torch.Tensor], max_norm: float) -> torch.Tensor:
    """Scales each gradient separately to an L2 norm of at most `max_norm`, in place.

    g <- g * min(1, max_norm / (||g|| + 1e-6)), without synchronizing with the device.

    Args:
        parameters: Tensors of any shapes; those without a gradient are skipped.
        max_norm: Largest norm of the gradient of one tensor, above 0.

    Returns:
        L2 norm of all gradients together before clipping, a scalar.

    Source: `clip_gradients` of facebookresearch/dino (utils.py), which iBOT uses with 3.0.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    norms = torch.stack(torch._foreach_norm(gradients))
    factors = (max_norm / (norms + 1e-6)).clamp(max=1)
    torch._foreach_mul_(gradients, list(factors.unbind()))
    return torch.linalg.vector_norm(norms)
