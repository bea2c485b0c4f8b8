"""Parts of a run's state that mmengine does not save or check."""

import logging
from typing import Any

from mmengine.dist import gather, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.engine.sharding import local_state
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.finite import first_nonfinite

# Entry of a checkpoint's `meta`: for each rank but the first, whose state is in `state_dict`, buffers by name.
OTHER_RANKS = 'other_ranks'


def gather_other_ranks(model: nn.Module) -> list[dict[str, Tensor]]:
    """Gathers the buffers that each process fills for itself; all processes call this function together.

    Args:
        model: Model whose modules with the attribute `of_each_rank` hold such buffers.

    Returns:
        For each rank from 1, its buffers by name; empty on other processes than rank 0, or if there are none.
    """
    buffers = _of_each_rank(model)
    if not buffers or get_world_size() == 1:
        return []
    gathered = {name: gather(buffer) for name, buffer in buffers.items()}
    if get_rank() != 0:
        return []
    return [{name: parts[rank].cpu() for name, parts in gathered.items()} for rank in range(1, get_world_size())]


def restore_rank(model: nn.Module, meta: dict[str, Any], filename: str) -> None:
    """Restores the buffers of this rank, after those of rank 0 were loaded into the model.

    If the run had fewer processes, further ranks take the buffers of the others in turn.

    Args:
        model: Model without wrapper.
        meta: `meta` of the checkpoint.
        filename: Path of the checkpoint, for messages; one is a warning if it holds the state of one process only.

    Raises:
        UserError: The buffers of the checkpoint do not fit the model.
    """
    buffers, others, record = _of_each_rank(model), meta.get(OTHER_RANKS, []), meta.get('record')
    if not buffers or get_world_size() == 1:
        return
    if not (isinstance(others, list) and all(_fits(state, buffers) for state in others)):
        raise UserError(
            f'{filename!r} cannot be resumed: its meta.{OTHER_RANKS} does not fit the model; restore the config key '
            'model, or start a new run from its weights (load_from, no --resume).'
        )
    if not others and not (isinstance(record, dict) and record.get('processes') == 1):
        print_log(
            f'{filename!r} does not hold {next(iter(buffers))} of all processes, as an older version wrote it; all '
            'continue with that of the first one, so results differ from those of an uninterrupted run.',
            'current',
            logging.WARNING,
        )
    source = get_rank() % (len(others) + 1)
    if source:
        for name, buffer in buffers.items():
            buffer.copy_(others[source - 1][name])


def first_nonfinite_of(runner: Runner) -> str | None:
    """Returns the first tensor of this process that is not finite, by name, or None, after the check of the last step.

    Args:
        runner: Runner of the model and the optimizers.
    """
    weights = bare_model(runner).state_dict()
    return first_nonfinite(dict(state_dict=weights, optimizer=local_state(runner.optim_wrapper)))


def _fits(state: Any, buffers: dict[str, Tensor]) -> bool:
    return isinstance(state, dict) and all(
        isinstance(state.get(name), Tensor) and state[name].shape == buffer.shape for name, buffer in buffers.items()
    )


def _of_each_rank(model: nn.Module) -> dict[str, Tensor]:
    return {
        f'{name}.{key}': buffer
        for name, module in model.named_modules()
        if getattr(module, 'of_each_rank', False)
        for key, buffer in module.named_buffers(recurse=False)
    }
