"""Optimizer state that is divided among the processes (ZeRO, stage 1)."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer

from mmdecouple.engine.gradients import keep_kernels, skips_on_device

_FROM_WRAPPER = 'grad_scale', 'found_inf'


class ShardedOptimizer(ZeroRedundancyOptimizer):
    """torch's `ZeroRedundancyOptimizer` around a built optimizer, with checkpoints of the optimizer's own format.

    Every parameter belongs to one process, which alone has its optimizer state, updates it and sends it to the others.
    As parameters are not split, rules that depend on whole tensors (the norms of `SoCoLARS`, weight decay by shape) are
    unchanged. `state_dict` is the one that the optimizer would have without sharding, so that a run can be resumed
    with another number of processes, or without sharding.

    Like the optimizer it wraps, it skips a step on the device by `found_inf`, if that optimizer does.

    Args:
        optimizer: Optimizer that has not made a step. Its parameters are dense, of one type, and equal on all
            processes.

    Attributes:
        optim: Optimizer of the parameters that belong to this process.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer.param_groups, _like(optimizer), **optimizer.defaults)
        keep_kernels(self.optim)

    @property
    def _step_supports_amp_scaling(self) -> bool:
        return skips_on_device(self.optim)

    def step(self, closure: Callable[[], float] | None = None, **kwargs: Any) -> float | None:
        """Updates the parameters of this process and receives the others."""
        given = {name: getattr(self, name) for name in _FROM_WRAPPER if hasattr(self, name)}
        try:
            for name, value in given.items():
                setattr(self.optim, name, value)
            return super().step(closure, **kwargs)
        finally:
            for name in given:
                delattr(self.optim, name)

    def own_state(self) -> dict[int, dict[str, Any]]:
        """Returns the state of the parameters of this process by index of the parameter in all groups."""
        return {self._param_to_index[parameter]: state for parameter, state in self.optim.state.items()}

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of all parameters, once after `consolidate_state_dict` was called by all processes.

        The state is sent process by process, so that a device holds the state of two processes at most.

        Raises:
            RuntimeError: This process has not received the state; it is sent to the main process by default.
        """
        try:
            return super().state_dict()
        finally:
            self._all_state_dicts.clear()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads the part of this process from the state of all parameters.

        Args:
            state_dict: State of the wrapped optimizer, from a run with or without sharding.

        Raises:
            ValueError: The groups are of other numbers or sizes.
        """
        stored, groups = state_dict['param_groups'], self.param_groups
        if [len(group['params']) for group in stored] != [len(group['params']) for group in groups]:
            raise ValueError('the parameter groups of the stored optimizer have other sizes')
        index = {
            parameter: number
            for theirs, ours in zip(stored, groups)
            for number, parameter in zip(theirs['params'], ours['params'])
        }
        own = [parameter for group in self.optim.param_groups for parameter in group['params']]
        local = self.optim.state_dict()['param_groups']
        for theirs, ours in zip(stored, local):
            ours.update({key: value for key, value in theirs.items() if key != 'params'})
        state = {place: state_dict['state'].get(index[parameter]) for place, parameter in enumerate(own)}
        state = {place: found for place, found in state.items() if found is not None}
        self.optim.load_state_dict(dict(state=state, param_groups=local))
        self._sync_param_groups(self.optim.param_groups, self.param_groups)


def sharded(optimizer: Optimizer) -> Optimizer:
    """Returns the optimizer with its state divided among the processes; with one process, the optimizer itself."""
    several = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
    return ShardedOptimizer(optimizer) if several else optimizer


def gather_state(wrapper: OptimWrapper | dict | None) -> None:
    """Sends divided optimizer states to the main process, where the next `state_dict` returns them.

    All processes have to call it.

    Args:
        wrapper: Wrapper of one optimizer or several; nothing is done if it is not built yet.
    """
    for each in _wrappers(wrapper).values():
        if isinstance(each.optimizer, ShardedOptimizer):
            each.optimizer.consolidate_state_dict()


def local_state(wrapper: OptimWrapper | dict | None) -> dict[Any, Any]:
    """Returns the optimizer state that this process holds, without communication.

    Args:
        wrapper: Wrapper of one optimizer, or of several, whose states are returned by name; empty if it is not built.
    """
    found = {name: _own_state(each) for name, each in _wrappers(wrapper).items()}
    return found if isinstance(wrapper, OptimWrapperDict) else found.get('', {})


def _wrappers(wrapper: OptimWrapper | dict | None) -> dict[str, OptimWrapper]:
    if isinstance(wrapper, OptimWrapperDict):
        return dict(wrapper.items())
    return {'': wrapper} if isinstance(wrapper, OptimWrapper) else {}


def _own_state(wrapper: OptimWrapper) -> dict[Any, Any]:
    if not isinstance(wrapper.optimizer, ShardedOptimizer):
        return wrapper.state_dict()
    wrapper.watch.settle()
    return dict(state=wrapper.optimizer.own_state())


def _like(optimizer: Optimizer) -> Callable[..., Optimizer]:
    """Returns a constructor of optimizers of the same class, which skips defaults that are no arguments of it."""
    kind = type(optimizer)
    accepted = inspect.signature(kind).parameters

    def build(params: list[dict], **defaults: Any) -> Optimizer:
        return kind(params, **{key: value for key, value in defaults.items() if key in accepted})

    return build
