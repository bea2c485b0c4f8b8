"""Batch-norm statistics that count each batch once under activation checkpointing."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def count_batches_once(network: nn.Module) -> None:
    """Prevents batch norms from updating their running statistics while the backward pass recomputes activations.

    With `with_cp=True`, OpenMMLab's networks run a block again in the backward pass, and its batch norms would count
    the same batch twice. Their outputs are not affected, as training normalizes by the statistics of the batch.

    Args:
        network: Any module, changed in place; copies of it keep the change. It is unchanged if no submodule has
            `with_cp` set.
    """
    if not any(getattr(module, 'with_cp', False) for module in network.modules()):
        return
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.register_forward_pre_hook(_save_statistics)
            module.register_forward_hook(_restore_statistics, always_call=True)


def _save_statistics(norm: _BatchNorm, _: Any) -> None:
    # Id of the backward pass that runs in this thread; torch's own checkpointing uses it too.
    if torch._C._current_graph_task_id() != -1:
        norm.__dict__['_saved_buffers'] = dict(norm._buffers)
        norm._buffers.update(
            (name, None if buffer is None else buffer.clone()) for name, buffer in norm._buffers.items()
        )


def _restore_statistics(norm: _BatchNorm, *_: Any) -> None:
    norm._buffers.update(norm.__dict__.pop('_saved_buffers', {}))
