"""Mixed precision on any device, clipping and freezing of gradients."""
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmdecouple.engine.clipping import clip_each_tensor_
from mmdecouple.registry import OPTIM_WRAPPERS
from mmdecouple.utils.errors import UserError

_DTYPES = dict(bf16=torch.bfloat16, fp16=torch.float16, fp32=torch.float32)
_CLIPPINGS = ('norm', 'value', 'tensor')


@OPTIM_WRAPPERS.register_module()
class PrecisionOptimWrapper(AmpOptimWrapper):
    """mmengine's `AmpOptimWrapper` that also works on the CPU, with the precision as one word.

    Weights, gradients and the optimizer stay in float32; the forward pass runs under autocast. Only `fp16` scales
    the loss.

    Parameters put into `frozen` lose their gradient before each step, so neither the step nor weight decay touches
    them; as their `requires_grad` stays, several processes need no search for unused parameters.

    Args:
        precision: `bf16`, `fp16` or `fp32` (no autocast).
        clip_grad: mmengine's dict of type `norm` (all gradients together; default) or `value`, or
            `dict(type='tensor', max_norm=...)`, which clips each parameter's gradient by its own L2 norm. The log's
            `grad_norm` is the norm of all gradients before clipping; on a GPU it is that of the step before, because
            reading this step's would wait for the device.
        **kwargs: As for `OptimWrapper`: `optimizer`, `accumulative_counts`.

    Raises:
        ValueError: For another precision or type of clipping, or a `max_norm` per tensor that is not positive.
    """

    def __init__(self, precision: str = 'bf16', clip_grad: dict[str, Any] | None = None, **kwargs: Any) -> None:
        device = get_device()
        if precision not in _DTYPES:
            raise UserError(f'PrecisionOptimWrapper: precision must be one of {", ".join(_DTYPES)}, got '
                            f'{precision!r} (config key optim_wrapper.precision).')
        clip_grad, by_tensor = _checked_clipping(clip_grad)
        OptimWrapper.__init__(self, clip_grad=clip_grad, **kwargs)
        if by_tensor:
            self.clip_func = clip_each_tensor_
        self.precision = precision
        self.frozen: Sequence[nn.Parameter] = ()
        self._norm_to_log: tuple[torch.Tensor, torch.cuda.Event] | None = None
        self._device_type = device
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler(device, enabled=precision == 'fp16')

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast the forward pass, inside the context of gradient accumulation."""
        enabled = self.precision != 'fp32'
        with OptimWrapper.optim_context(self, model), \
                torch.autocast(self._device_type, _DTYPES[self.precision] if enabled else None, enabled):
            yield

    def step(self, **kwargs: Any) -> None:
        """Drops the gradients of frozen parameters, unscales, clips and steps."""
        for parameter in self.frozen:
            parameter.grad = None
        super().step(**kwargs)

    def _clip_grad(self) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group['params'] if p.grad is not None]
        norm = self.clip_func(parameters, **self.clip_grad_kwargs) if parameters else None
        if norm is not None:
            self._log_norm(norm.detach())

    # Waiting for a number is no work for a compiler: with `compile=True` only the network is compiled.
    @torch.compiler.disable
    def _log_norm(self, norm: torch.Tensor) -> None:
        if norm.is_cuda:
            before = self._norm_to_log
            self._norm_to_log = norm.to('cpu', non_blocking=True), torch.cuda.Event()
            self._norm_to_log[1].record()
            if before is None:
                return
            norm, arrived = before
            arrived.synchronize()
        self.message_hub.update_scalar(f'train/{self.grad_name}', float(norm))


def _checked_clipping(clip_grad: dict[str, Any] | None) -> tuple[dict[str, Any] | None, bool]:
    """The dict as mmengine takes it, which knows no clipping per tensor, and whether that was asked for."""
    if clip_grad is None:
        return None, False
    kind = clip_grad.get('type', 'norm')
    if kind not in _CLIPPINGS:
        raise UserError(f'PrecisionOptimWrapper: clip_grad.type must be one of {", ".join(_CLIPPINGS)}, got '
                        f'{kind!r} (config key optim_wrapper.clip_grad.type).')
    if kind != 'tensor':
        return dict(clip_grad), False
    max_norm = clip_grad.get('max_norm')
    if set(clip_grad) != {'type', 'max_norm'} or not (max_norm or 0) > 0:
        raise UserError("PrecisionOptimWrapper: clip_grad of type 'tensor' takes max_norm > 0 and nothing else, got "
                        f'{dict(clip_grad)} (config key optim_wrapper.clip_grad).')
    return dict(max_norm=max_norm), True
