"""Which parameters weight decay pulls on."""
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

from mmdecouple.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DecayGroupsConstructor:
    """Two parameter groups: decayed, then free of weight decay (biases and one-dimensional tensors).

    The rule looks at names and shapes alone, as DINO's does, so position embedding, class token, mask token and the
    weight-norm gain, which is `(K, 1)`, are decayed: exempting them would be another recipe. Groups are few because
    each one is a pass of its own for the optimizer's multi-tensor kernels.

    Args:
        optim_wrapper_cfg: Config of the wrapper, with that of the `optimizer`.
        paramwise_cfg: None or `dict(free=[...])`: parameters whose name contains one of these are not decayed either.

    Raises:
        ValueError: For another key in `paramwise_cfg`, or an entry of `free` that is in no trainable parameter's name.

    Source: `get_params_groups` of facebookresearch/dino (utils.py); `free` is the `skip_list` of
        OpenDriveLab/maskalign (main_pretrain.py).
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        paramwise_cfg = paramwise_cfg or {}
        unknown = sorted(set(paramwise_cfg) - {'free'})
        if unknown:
            raise ValueError(f'DecayGroupsConstructor: paramwise_cfg takes the key free alone, got {unknown[0]!r} '
                             '(config key optim_wrapper.paramwise_cfg).')
        self.free = list(paramwise_cfg.get('free', ()))
        self.optim_wrapper_cfg = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Builds the optimizer over the model's trainable parameters, and its wrapper."""
        bare = model.module if is_model_wrapper(model) else model
        trained = {name: p for name, p in bare.named_parameters() if p.requires_grad}
        for part in self.free:
            if not any(part in name for name in trained):
                raise ValueError(f'DecayGroupsConstructor: no trainable parameter has {part!r} in its name '
                                 '(config key optim_wrapper.paramwise_cfg.free).')
        groups = [dict(params=[]), dict(params=[], weight_decay=0.0)]
        for name, parameter in trained.items():
            exempt = name.endswith('.bias') or parameter.ndim == 1 or any(part in name for part in self.free)
            groups[exempt]['params'].append(parameter)
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        optimizer = OPTIMIZERS.build(dict(wrapper_cfg.pop('optimizer'), params=groups))
        wrapper = OPTIM_WRAPPERS.build(dict(type='OptimWrapper') | wrapper_cfg, default_args=dict(optimizer=optimizer))
        # mmengine's stand-in group for logging: auto_scale_lr passes it over, and the groups here share one lr.
        wrapper.base_param_settings = None
        return wrapper
