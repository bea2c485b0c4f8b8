"""Mixed precision on any device, chosen by one key."""
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmdecouple.registry import OPTIM_WRAPPERS

_DTYPES = dict(bf16=torch.bfloat16, fp16=torch.float16, fp32=torch.float32)


@OPTIM_WRAPPERS.register_module()
class PrecisionOptimWrapper(AmpOptimWrapper):
    """mmengine's `AmpOptimWrapper` that also works on the CPU, with the precision as one word.

    Weights, gradients and the optimizer stay in float32; the forward pass runs under autocast. Only `fp16` scales
    the loss.

    Args:
        precision: `bf16`, `fp16` or `fp32` (no autocast).
        **kwargs: As for `OptimWrapper`: `optimizer`, `clip_grad`, `accumulative_counts`.

    Raises:
        ValueError: For another precision, or `fp16` on the CPU, whose autocast trains in bf16 only.
    """

    def __init__(self, precision: str = 'bf16', **kwargs) -> None:
        device = get_device()
        if precision not in _DTYPES:
            raise ValueError(f'PrecisionOptimWrapper: precision must be one of {", ".join(_DTYPES)}, got '
                             f'{precision!r} (config key optim_wrapper.precision).')
        if precision == 'fp16' and device == 'cpu':
            raise ValueError('PrecisionOptimWrapper: fp16 needs a GPU; use bf16 or fp32 on the CPU '
                             '(config key optim_wrapper.precision).')
        OptimWrapper.__init__(self, **kwargs)
        self.precision = precision
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
