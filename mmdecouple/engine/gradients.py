"""Check of gradients before each optimizer step."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmdecouple.engine.async_copy import AsyncCopy
from mmdecouple.utils.errors import UserError

_FUSED = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
_KERNELS = 'fused', 'foreach'


class NonFiniteGradient(UserError, FloatingPointError):
    """A gradient is NaN or infinite, or its norm overflows, although the loss is finite."""


class CollapsedScale(UserError, FloatingPointError):
    """The loss scale of fp16 is below 1: gradients are not finite at any scale."""


class GradientWatch:
    """Checks before every step that the L2 norm of the gradients of one optimizer is finite in float32.

    On the CPU, an error is raised before the step. On a GPU, an optimizer that reads `found_inf` skips the step on the
    device, while the norms are copied to the host and checked by the next `settle`, so that no step waits. For any
    other optimizer, the host waits for the norms.

    Attributes:
        place: Position of the run for the report, set before each iteration by the hook that watches the run.
        report: Creates the error from the parameters whose gradient is not finite (none if only the total norm
            overflows) and their `place`.
        collapsed: Creates the error from the loss scale and the number of consecutive skipped steps.
    """

    def __init__(self) -> None:
        self.place: Any = None
        self.report: Callable[[list[nn.Parameter], Any], Exception] = _plain_report
        self.collapsed: Callable[[float, int], Exception] = _plain_collapse
        self._pending: tuple[Sequence[nn.Parameter], AsyncCopy, Any] | None = None

    # The check is outside of compiled code: with `compile=True`, only the network is compiled.
    @torch.compiler.disable
    @torch.no_grad()
    def check(self, parameters: Sequence[nn.Parameter], device_skips: bool) -> Tensor | None:
        """Checks the gradients of a step, after the result of the previous step was read.

        Args:
            parameters: Parameters that have a gradient.
            device_skips: Whether the optimizer skips a step on the device by `found_inf`.

        Returns:
            Scalar on the device for the optimizer, 1 if the gradients are not finite and 0 otherwise; None if the host
            has already checked that they are finite.

        Raises:
            NonFiniteGradient: The gradients of the previous step are not finite, or those of this step if the host
                checks them.
        """
        self.settle()
        if not parameters:
            return None
        norms = torch.stack(torch._foreach_norm([p.grad for p in parameters]))
        self._pending = parameters, AsyncCopy(norms), self.place
        if _on_host(norms) or not device_skips:
            self.settle()
            return None
        return (~torch.linalg.vector_norm(norms).isfinite()).float()

    def settle(self) -> None:
        """Reads the result of the last check, waiting for the device.

        Raises:
            NonFiniteGradient: The gradients are not finite, and the device skipped the step.
        """
        if self._pending is None:
            return
        (parameters, norms, place), self._pending = self._pending, None
        norms = norms.read()
        if not torch.linalg.vector_norm(norms).isfinite():
            raise self.report([p for p, fine in zip(parameters, norms.isfinite()) if not fine], place)


def with_gradient(optimizer: Optimizer) -> list[nn.Parameter]:
    """Returns the parameters of an optimizer that have a gradient."""
    return [p for group in optimizer.param_groups for p in group['params'] if p.grad is not None]


def skips_on_device(optimizer: Optimizer) -> bool:
    """Returns whether an optimizer skips a step on the device by `found_inf`: torch's fused optimizers and SoCoLARS."""
    return getattr(optimizer, '_step_supports_amp_scaling', False)


def use_fused_kernels(optimizer: Optimizer) -> None:
    """Enables the fused kernels of torch's optimizers on a GPU, unless the config disables them; they read `found_inf`.

    The choice is not loaded from checkpoints, as it depends on the machine.

    Args:
        optimizer: Optimizer, changed in place.
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
    keep_kernels(optimizer)


def keep_kernels(optimizer: Optimizer) -> None:
    """Lets an optimizer ignore the choice of kernels in the states that it loads.

    Args:
        optimizer: Optimizer, changed in place.
    """
    optimizer.register_load_state_dict_pre_hook(_keep_kernels)


def _on_host(tensor: Tensor) -> bool:
    return tensor.is_cpu


def _keep_kernels(optimizer: Optimizer, state: dict) -> None:
    state['param_groups'] = groups = [dict(group) for group in state['param_groups']]
    for theirs, ours in zip(groups, optimizer.param_groups):
        theirs.update({key: ours[key] for key in _KERNELS if key in ours})


def _plain_report(parameters: list[nn.Parameter], place: Any) -> Exception:
    what = f'gradients of {len(parameters)} parameters' if parameters else 'norm of all gradients'
    return NonFiniteGradient(
        f'PrecisionOptimWrapper: {what} not finite; no weight was changed. Use a lower '
        'optim_wrapper.optimizer.lr or precision fp32.'
    )


def _plain_collapse(scale: float, skips: int) -> Exception:
    return CollapsedScale(
        f'PrecisionOptimWrapper: {skips} consecutive steps were skipped because their gradients were not finite, and '
        f'the loss scale of fp16 fell to {scale:g}; use optim_wrapper.precision=bf16.'
    )
