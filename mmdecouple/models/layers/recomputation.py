"""Batch norm that counts a batch once, although activation checkpointing runs it twice."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def count_batches_once(network: nn.Module) -> None:
    """Let no batch norm of a network move its running statistics while the backward pass recomputes activations.

    `with_cp=True` of OpenMMLab's networks runs a block again in the backward pass; its batch norm would take the same
    batch in a second time. What it gives is the same either way, as training normalizes by the batch.

    Args:
        network: Any module; copies of it keep this. Nothing changes where no part of it has `with_cp` set.
    """
    if not any(getattr(module, 'with_cp', False) for module in network.modules()):
        return
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.register_forward_pre_hook(_leave_statistics)
            module.register_forward_hook(_take_up_statistics, always_call=True)


def _leave_statistics(norm: _BatchNorm, _: Any) -> None:
    # The number of the backward pass that runs in this thread, which torch's own checkpointing asks for too.
    if torch._C._current_graph_task_id() != -1:
        norm.__dict__['_left'] = dict(norm._buffers)
        norm._buffers.update(
            (name, None if buffer is None else buffer.clone()) for name, buffer in norm._buffers.items()
        )


def _take_up_statistics(norm: _BatchNorm, *_: Any) -> None:
    norm._buffers.update(norm.__dict__.pop('_left', {}))
