"""Gradients are judged before they reach a weight."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmdecouple.engine.arriving import Arriving
from mmdecouple.utils.errors import UserError

_FUSED = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
_KERNELS = 'fused', 'foreach'


class NonFiniteGradient(UserError, FloatingPointError):
    """A gradient became NaN or infinite, or too large for its norm, while the loss was finite."""


class CollapsedScale(UserError, FloatingPointError):
    """The loss scale of fp16 fell below 1: gradients are not finite at any scale."""


class GradientWatch:
    """Judges the gradients of one optimizer before every step.

    They are good if their L2 norm is finite in float32. On the host a bad one raises before the step. On a GPU an
    optimizer that reads `found_inf` leaves the step out by itself, while the norms travel to the host, where the next
    `settle` raises: no step waits. For any other optimizer the host waits.

    Attributes:
        place: Where the run is, for the report; whoever watches the run sets it before each iteration.
        report: Makes the error from the bad parameters (none if only the norm of all overflows) and their `place`.
        collapsed: Makes the error from the loss scale and the number of steps left out in a row.
    """

    def __init__(self) -> None:
        self.place: Any = None
        self.report: Callable[[list[nn.Parameter], Any], Exception] = _plain_report
        self.collapsed: Callable[[float, int], Exception] = _plain_collapse
        self._judged: tuple[Sequence[nn.Parameter], Arriving, Any] | None = None

    # Reading numbers is no work for a compiler: with `compile=True` only the network is compiled.
    @torch.compiler.disable
    @torch.no_grad()
    def judge(self, parameters: Sequence[nn.Parameter], device_skips: bool) -> Tensor | None:
        """Judge the gradients of a step, after the step before it is settled.

        Args:
            parameters: Those that have a gradient.
            device_skips: Whether the optimizer leaves a step out by `found_inf`.

        Returns:
            1 for bad and 0 for good gradients, on the device, `()`, for the optimizer; None if the host knows that
            they are good.

        Raises:
            NonFiniteGradient: Of this step, where the host judges, or of the step before it.
        """
        self.settle()
        if not parameters:
            return None
        norms = torch.stack(torch._foreach_norm([p.grad for p in parameters]))
        self._judged = parameters, Arriving(norms), self.place
        if _on_host(norms) or not device_skips:
            self.settle()
            return None
        return (~torch.linalg.vector_norm(norms).isfinite()).float()

    def settle(self) -> None:
        """Read the verdict on the last step; waits for the device.

        Raises:
            NonFiniteGradient: The device left the step out.
        """
        if self._judged is None:
            return
        (parameters, norms, place), self._judged = self._judged, None
        norms = norms.read()
        if not torch.linalg.vector_norm(norms).isfinite():
            raise self.report([p for p, fine in zip(parameters, norms.isfinite()) if not fine], place)


def with_gradient(optimizer: Optimizer) -> list[nn.Parameter]:
    """Parameters of an optimizer that have a gradient."""
    return [p for group in optimizer.param_groups for p in group['params'] if p.grad is not None]


def skips_on_device(optimizer: Optimizer) -> bool:
    """Whether an optimizer leaves a step out by `found_inf`, without the host: torch's fused ones and SoCo's LARS."""
    return getattr(optimizer, '_step_supports_amp_scaling', False)


def use_fused_kernels(optimizer: Optimizer) -> None:
    """Let torch's optimizers on a GPU run their fused kernels, which read `found_inf`, unless the config says no.

    A checkpoint does not bring the kernels of the machine that wrote it: each machine keeps its own choice.
    """
    if not isinstance(optimizer, _FUSED) or 'fused' not in optimizer.defaults:
        return
    groups = optimizer.param_groups
    undecided = all(group[key] is None for group in groups for key in _KERNELS) and not any(
        group['differentiable'] for group in groups
    )
    if undecided and all(p.is_cuda and p.is_floating_point() for group in groups for p in group['params']):
        for group in (optimizer.defaults, *groups):
            group['fused'] = True
        optimizer._step_supports_amp_scaling = True
    optimizer.register_load_state_dict_pre_hook(_keep_kernels)


def _on_host(tensor: Tensor) -> bool:
    return tensor.is_cpu


def _keep_kernels(optimizer: Optimizer, state: dict) -> None:
    state['param_groups'] = groups = [dict(group) for group in state['param_groups']]
    for theirs, ours in zip(groups, optimizer.param_groups):
        theirs.update({key: ours[key] for key in _KERNELS})


def _plain_report(parameters: list[nn.Parameter], place: Any) -> Exception:
    what = f'gradients of {len(parameters)} parameters' if parameters else 'norm of all gradients'
    return NonFiniteGradient(
        f'PrecisionOptimWrapper: {what} not finite; no weight was changed. Use a lower '
        'optim_wrapper.optimizer.lr or precision fp32.'
    )


def _plain_collapse(scale: float, skips: int) -> Exception:
    return CollapsedScale(
        f'PrecisionOptimWrapper: {skips} steps in a row were left out as their gradients were not '
        f'finite, and the loss scale of fp16 fell to {scale:g}; use optim_wrapper.precision=bf16.'
    )
