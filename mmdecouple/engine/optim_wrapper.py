"""Mixed precision on any device; checking, clipping and freezing of gradients."""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmdecouple.engine.async_copy import AsyncCopy
from mmdecouple.engine.clipping import clip_each_tensor_
from mmdecouple.engine.gradients import GradientWatch, skips_on_device, use_fused_kernels, with_gradient
from mmdecouple.engine.sharding import sharded as divided
from mmdecouple.registry import OPTIM_WRAPPERS
from mmdecouple.utils.compatibility import CPU_SUPPORTS_FP16, grad_scaler
from mmdecouple.utils.settings import Settings

_DTYPES = dict(bf16=torch.bfloat16, fp16=torch.float16, fp32=torch.float32)
_CLIPPINGS = dict(norm='max_norm', value='clip_value', tensor='max_norm')
# At a smaller scale the scaled loss is smaller than the loss itself, so that no scale avoids the overflow.
_MIN_SCALE = 1.0


@OPTIM_WRAPPERS.register_module()
class PrecisionOptimWrapper(AmpOptimWrapper):
    """mmengine's `AmpOptimWrapper` with a single precision setting, also for the CPU.

    Weights, gradients and the optimizer state are float32; the forward pass runs under autocast. Only `fp16` scales the
    loss.

    Gradients are checked before every step (`GradientWatch`): a gradient that is not finite changes neither weights nor
    the optimizer state. In fp16, such a step is skipped and the loss scale is halved; the host waits for the result of
    the check. `fp16_skips` in the log counts these steps since the start, and a scale below 1 ends the run. On a GPU,
    torch's `SGD`, `Adam` and `AdamW` run their fused kernels, which can skip a step on the device, unless the config
    sets `fused` or `foreach`.

    The gradients of parameters in `frozen` are removed before each step, so that neither the step nor weight decay
    changes them. Their `requires_grad` is unchanged, so that DDP needs no `find_unused_parameters`.

    Args:
        precision: `bf16`, `fp16` or `fp32` (no autocast).
        clip_grad: mmengine's dict of type `norm` (all gradients together; the default) or `value`, or
            `dict(type='tensor', max_norm=...)`, which clips the gradient of each parameter by its own L2 norm.
            `grad_norm` in the log is the norm of all gradients before clipping; on a GPU it is that of the previous
            step, because reading the current one would synchronize with the device.
        accumulative_counts: Number of iterations whose gradients are accumulated for a step, at least 1.
        sharded: Whether the optimizer state is divided among the processes (`ShardedOptimizer`). Checkpoints do not
            depend on it.
        **kwargs: Arguments of `OptimWrapper`: `optimizer`.

    Attributes:
        frozen: Parameters that are not updated.
        watch: Check of the gradients.
        skipped: Number of steps that fp16 skipped since the start.

    Raises:
        SettingError: A value is out of range.
    """

    def __init__(
        self,
        precision: str = 'bf16',
        clip_grad: dict[str, Any] | None = None,
        accumulative_counts: int = 1,
        sharded: bool = False,
        **kwargs: Any,
    ) -> None:
        check = Settings(self, 'optim_wrapper')
        check.choice('precision', precision, tuple(_DTYPES))
        check.number('accumulative_counts', accumulative_counts, 1, whole=True)
        check.flag('sharded', sharded)
        clip_grad, by_tensor = _checked_clipping(check, clip_grad)
        OptimWrapper.__init__(self, clip_grad=clip_grad, accumulative_counts=accumulative_counts, **kwargs)
        if by_tensor:
            self.clip_func = clip_each_tensor_
        self.precision = precision
        self.frozen: Sequence[nn.Parameter] = ()
        self.watch = GradientWatch()
        self.skipped = self._skipped_in_a_row = 0
        self._norm_to_log: AsyncCopy | None = None
        self._device_type = get_device()
        if precision == 'fp16' and self._device_type == 'cpu' and not CPU_SUPPORTS_FP16:
            check.refuse('precision', f"'fp16' on a CPU needs torch 2.3 or newer, not {torch.__version__}; use 'bf16'")
        self._scale_update_param = None
        self.loss_scaler = grad_scaler(self._device_type, enabled=precision == 'fp16')
        use_fused_kernels(self.optimizer)
        if sharded:
            self.optimizer = divided(self.optimizer)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Runs the forward pass under autocast, inside the context of gradient accumulation."""
        enabled = self.precision != 'fp32'
        with (
            OptimWrapper.optim_context(self, model),
            torch.autocast(self._device_type, _DTYPES[self.precision] if enabled else None, enabled),
        ):
            yield

    def step(self, **kwargs: Any) -> None:
        """Removes the gradients of frozen parameters, unscales, checks and clips the others, and steps.

        Raises:
            NonFiniteGradient: A gradient is not finite (without fp16); on a GPU, a gradient of the previous step.
            CollapsedScale: The loss scale of fp16 fell below 1.
        """
        for parameter in self.frozen:
            parameter.grad = None
        parameters, found = with_gradient(self.optimizer), None
        scaled = self.precision == 'fp16' and bool(parameters)
        if scaled:
            self.loss_scaler.unscale_(self.optimizer)
        else:
            found = self.watch.check(parameters, skips_on_device(self.optimizer))
        if self.clip_grad_kwargs and parameters:
            self._clip(parameters)
        if scaled:
            self._step_scaled(**kwargs)
        elif found is None:
            self.optimizer.step(**kwargs)
        else:
            self.optimizer.grad_scale, self.optimizer.found_inf = None, found
            try:
                self.optimizer.step(**kwargs)
            finally:
                del self.optimizer.grad_scale, self.optimizer.found_inf

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of the optimizer and the loss scale, after the gradients of the last step were checked."""
        self.watch.settle()
        return super().state_dict()

    # Not compiled, as `GradientWatch.check`, because it reads values on the host.
    @torch.compiler.disable
    def _step_scaled(self, **kwargs: Any) -> None:
        found = self.loss_scaler._found_inf_per_device(self.optimizer)
        overflows = any(bool(flag) for flag in found.values())
        if not overflows:
            # `GradScaler.step` is not used: for some optimizers it lets the device decide, and the hooks that update
            # the teacher would count a skipped step.
            self.optimizer.step(**kwargs)
        self.loss_scaler.update(self._scale_update_param)
        self.skipped += overflows
        self._skipped_in_a_row = (self._skipped_in_a_row + 1) * overflows
        self.message_hub.update_scalar('train/fp16_skips', self.skipped)
        if overflows and self.loss_scaler.get_scale() < _MIN_SCALE:
            raise self.watch.collapsed(self.loss_scaler.get_scale(), self._skipped_in_a_row)

    def _clip(self, parameters: list[nn.Parameter]) -> None:
        norm = self.clip_func(parameters, **self.clip_grad_kwargs)
        if norm is not None:
            self._log_norm(norm)

    @torch.compiler.disable
    def _log_norm(self, norm: torch.Tensor) -> None:
        now = AsyncCopy(norm)
        before, self._norm_to_log = self._norm_to_log, now
        shown = before if norm.is_cuda else now
        if shown is not None:
            self.message_hub.update_scalar(f'train/{self.grad_name}', float(shown.read()))


def _checked_clipping(check: Settings, clip_grad: dict[str, Any] | None) -> tuple[dict[str, Any] | None, bool]:
    """Returns the dict for mmengine, which does not support clipping per tensor, and whether that is requested."""
    if clip_grad is None:
        return None, False
    clip_grad = dict(check.block('clip_grad', clip_grad, typed=False))
    kind = check.choice('clip_grad.type', clip_grad.get('type', 'norm'), tuple(_CLIPPINGS))
    limit = _CLIPPINGS[kind]
    check.number(f'clip_grad.{limit}', clip_grad.get(limit), above=0)
    if kind != 'tensor':
        return clip_grad, False
    if set(clip_grad) != {'type', limit}:
        check.refuse('clip_grad', f"of type 'tensor' takes {limit} alone, got {', '.join(clip_grad)}")
    return dict(max_norm=clip_grad[limit]), True
