"""Changes of a config by options of the command line that mmdet's users know: `--amp` and `--auto-scale-lr`."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmdecouple.utils.errors import UserError

_PLAIN = ('OptimWrapper', 'mmengine.OptimWrapper')
_MIXED = ('AmpOptimWrapper', 'mmengine.AmpOptimWrapper')
_OWN = ('PrecisionOptimWrapper', 'mmdecouple.PrecisionOptimWrapper')
_PRECISION, _ENABLE = 'optim_wrapper.precision', 'auto_scale_lr.enable'


def use_amp(config: Config, options: Mapping[str, Any]) -> None:
    """Makes a run use mixed precision (`--amp`).

    A mixed precision of the config is kept. Otherwise, it is bf16, or fp16 on GPUs that do not have it.

    Args:
        config: Config with the overrides applied and the device chosen, changed in place.
        options: These overrides by dotted keys.

    Raises:
        UserError: The config has no optimizer wrapper or one of another project, or an override asks for fp32.
    """
    wrapper = config.get('optim_wrapper')
    kind = wrapper.get('type', 'OptimWrapper') if wrapper else None
    if kind in _MIXED or (kind in _OWN and wrapper.get('precision', 'bf16') != 'fp32'):
        return
    if options.get(_PRECISION) == 'fp32':
        raise UserError(f'--amp contradicts --cfg-options {_PRECISION}=fp32; omit one of them.')
    if kind not in (*_PLAIN, *_OWN):
        raise UserError(
            f'--amp cannot be used with {kind or "a config without optimizer"} (config key optim_wrapper.type); set it '
            'to PrecisionOptimWrapper.'
        )
    wrapper.update(type='mmdecouple.PrecisionOptimWrapper', precision=mixed_precision())


def mixed_precision() -> str:
    """Returns `bf16`, or `fp16` for a GPU without bf16."""
    import torch

    lacks = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False)
    return 'fp16' if lacks else 'bf16'


def scale_lr(config: Config, options: Mapping[str, Any]) -> None:
    """Makes a run scale its learning rate with the batch size (`--auto-scale-lr`).

    Args:
        config: Config with the overrides applied, changed in place.
        options: These overrides by dotted keys.

    Raises:
        UserError: The config does not state the batch size of its learning rate, or an override disables the scaling.
    """
    if options.get(_ENABLE, True) is not True:
        raise UserError(f'--auto-scale-lr contradicts --cfg-options {_ENABLE}={options[_ENABLE]}; omit one of them.')
    if not (config.get('auto_scale_lr') or {}).get('base_batch_size'):
        raise UserError(
            f'--auto-scale-lr: config {config.filename} does not state the batch size of its learning rate; set '
            '--cfg-options auto_scale_lr.base_batch_size=N.'
        )
    config.auto_scale_lr.enable = True
