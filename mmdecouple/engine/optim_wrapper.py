"""Mixed precision on any device; judging, clipping and freezing of gradients."""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmdecouple.engine.arriving import Arriving
from mmdecouple.engine.clipping import clip_each_tensor_
from mmdecouple.engine.gradients import GradientWatch, skips_on_device, use_fused_kernels, with_gradient
from mmdecouple.registry import OPTIM_WRAPPERS
from mmdecouple.utils.settings import Settings

_DTYPES = dict(bf16=torch.bfloat16, fp16=torch.float16, fp32=torch.float32)
_CLIPPINGS = dict(norm='max_norm', value='clip_value', tensor='max_norm')
# Below it the scaled loss is smaller than the loss: gradients overflow whatever the scale.
_LEAST_SCALE = 1.0


@OPTIM_WRAPPERS.register_module()
class PrecisionOptimWrapper(AmpOptimWrapper):
    """mmengine's `AmpOptimWrapper` that also works on the CPU, with the precision as one word.

    Weights, gradients and the optimizer stay in float32; the forward pass runs under autocast. Only `fp16` scales
    the loss.

    Gradients are judged before every step, see `GradientWatch`: one that is not finite changes no weight and no state
    of the optimizer. In fp16 such a step is left out and the loss scale halved; the host waits for that verdict. The
    log's `fp16_skips` counts these steps since the start; a scale below 1 ends the run. On a GPU torch's `SGD`, `Adam`
    and `AdamW` run their fused kernels, as those leave a step out by themselves, unless the config sets `fused` or
    `foreach`.

    Parameters put into `frozen` lose their gradient before each step, so neither the step nor weight decay touches
    them; as their `requires_grad` stays, several processes need no search for unused parameters.

    Args:
        precision: `bf16`, `fp16` or `fp32` (no autocast).
        clip_grad: mmengine's dict of type `norm` (all gradients together; default) or `value`, or
            `dict(type='tensor', max_norm=...)`, which clips each parameter's gradient by its own L2 norm. The log's
            `grad_norm` is the norm of all gradients before clipping; on a GPU it is that of the step before, because
            reading this step's would wait for the device.
        accumulative_counts: Iterations whose gradients make a step, >= 1.
        **kwargs: As for `OptimWrapper`: `optimizer`.

    Attributes:
        frozen: Parameters that stand still.
        watch: Judges the gradients.
        skipped: Steps that fp16 left out since the start.

    Raises:
        SettingError: For a value out of range.
    """

    def __init__(
        self,
        precision: str = 'bf16',
        clip_grad: dict[str, Any] | None = None,
        accumulative_counts: int = 1,
        **kwargs: Any,
    ) -> None:
        check = Settings(self, 'optim_wrapper')
        check.choice('precision', precision, tuple(_DTYPES))
        check.number('accumulative_counts', accumulative_counts, 1, whole=True)
        clip_grad, by_tensor = _checked_clipping(check, clip_grad)
        OptimWrapper.__init__(self, clip_grad=clip_grad, accumulative_counts=accumulative_counts, **kwargs)
        if by_tensor:
            self.clip_func = clip_each_tensor_
        self.precision = precision
        self.frozen: Sequence[nn.Parameter] = ()
        self.watch = GradientWatch()
        self.skipped = self._skipped_in_a_row = 0
        self._norm_to_log: Arriving | None = None
        self._device_type = get_device()
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler(self._device_type, enabled=precision == 'fp16')
        use_fused_kernels(self.optimizer)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast the forward pass, inside the context of gradient accumulation."""
        enabled = self.precision != 'fp32'
        with (
            OptimWrapper.optim_context(self, model),
            torch.autocast(self._device_type, _DTYPES[self.precision] if enabled else None, enabled),
        ):
            yield

    def step(self, **kwargs: Any) -> None:
        """Drop the gradients of frozen parameters, unscale, judge, clip and step.

        Raises:
            NonFiniteGradient: A gradient is not finite, without fp16; on a GPU that of the step before.
            CollapsedScale: The loss scale of fp16 fell below 1.
        """
        for parameter in self.frozen:
            parameter.grad = None
        parameters, found = with_gradient(self.optimizer), None
        scaled = self.precision == 'fp16' and bool(parameters)
        if scaled:
            self.loss_scaler.unscale_(self.optimizer)
        else:
            found = self.watch.judge(parameters, skips_on_device(self.optimizer))
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
        """State of the optimizer and the loss scale, after the last step is known to be good."""
        self.watch.settle()
        return super().state_dict()

    # Here too numbers are read, as in `GradientWatch.judge`.
    @torch.compiler.disable
    def _step_scaled(self, **kwargs: Any) -> None:
        found = self.loss_scaler._found_inf_per_device(self.optimizer)
        overflows = any(bool(flag) for flag in found.values())
        if not overflows:
            # Not the scaler's own step: for some optimizers it leaves the verdict to the device, and the hooks that
            # move the teacher would take a step that was left out for one.
            self.optimizer.step(**kwargs)
        self.loss_scaler.update(self._scale_update_param)
        self.skipped += overflows
        self._skipped_in_a_row = (self._skipped_in_a_row + 1) * overflows
        self.message_hub.update_scalar('train/fp16_skips', self.skipped)
        if overflows and self.loss_scaler.get_scale() < _LEAST_SCALE:
            raise self.watch.collapsed(self.loss_scaler.get_scale(), self._skipped_in_a_row)

    def _clip(self, parameters: list[nn.Parameter]) -> None:
        norm = self.clip_func(parameters, **self.clip_grad_kwargs)
        if norm is not None:
            self._log_norm(norm)

    @torch.compiler.disable
    def _log_norm(self, norm: torch.Tensor) -> None:
        now = Arriving(norm)
        before, self._norm_to_log = self._norm_to_log, now
        shown = before if norm.is_cuda else now
        if shown is not None:
            self.message_hub.update_scalar(f'train/{self.grad_name}', float(shown.read()))


def _checked_clipping(check: Settings, clip_grad: dict[str, Any] | None) -> tuple[dict[str, Any] | None, bool]:
    """The dict as mmengine takes it, which knows no clipping per tensor, and whether that was asked for."""
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
