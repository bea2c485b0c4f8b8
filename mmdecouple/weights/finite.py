"""Checks that all values of a state are finite."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def first_nonfinite(state: Any) -> str | None:
    """Returns the name of the first tensor with NaN or infinity.

    Each tensor takes one reduction.

    Args:
        state: Tensors in nested dicts, lists and tuples, on any device; integer tensors and other objects are ignored.

    Returns:
        Keys of the tensor joined by dots, such as `state_dict.backbone.conv1.weight`; None if all values are finite.
    """
    return next((name for name, tensor in _tensors(state, '') if not is_finite(tensor)), None)


def _tensors(state: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        if state.numel() and (state.is_floating_point() or state.is_complex()):
            yield name, state
        return
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, (list, tuple)) else ()
    for key, value in items:
        yield from _tensors(value, f'{name}.{key}' if name else str(key))


def is_finite(tensor: Tensor) -> bool:
    """Returns whether all values of a floating-point or complex tensor, on any device, are finite."""
    values = tensor.coalesce().values() if tensor.is_sparse else tensor
    values = values.float() if values.element_size() < 2 else values
    # The L2 norm is the fastest reduction that propagates NaN and infinity; finite values may overflow it.
    return bool(torch.linalg.vector_norm(values).isfinite()) or bool(values.isfinite().all())
