"""Gradient clipping that torch does not have."""

from collections.abc import Iterable

import torch


@torch.no_grad()
def clip_each_tensor_(parameters: Iterable[torch.Tensor], max_norm: float) -> torch.Tensor:
    """Scales each gradient down to an L2 norm of at most `max_norm`, on its own and in place.

    g <- g * min(1, max_norm / (||g|| + 1e-6)). Nothing waits for the device.

    Args:
        parameters: Tensors of any shapes; those without a gradient are passed over.
        max_norm: Largest norm of one tensor's gradient, > 0.

    Returns:
        L2 norm of all gradients together before clipping, `()`.

    Source: `clip_gradients` of facebookresearch/dino (utils.py), which iBOT uses with 3.0.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    norms = torch.stack(torch._foreach_norm(gradients))
    factors = (max_norm / (norms + 1e-6)).clamp(max=1)
    torch._foreach_mul_(gradients, list(factors.unbind()))
    return torch.linalg.vector_norm(norms)
