"""Which parameters weight decay pulls on, and which learn faster."""
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

from mmdecouple.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from mmdecouple.utils.errors import UserError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DecayGroupsConstructor:
    """Two parameter groups for each lr: decayed, then free of weight decay (biases and one-dimensional tensors).

    The rule looks at names and shapes alone, as DINO's does, so position embedding, class token, mask token and the
    weight-norm gain, which is `(K, 1)`, are decayed: exempting them would be another recipe. Groups are few because
    each one is a pass of its own for the optimizer's multi-tensor kernels.

    Args:
        optim_wrapper_cfg: Config of the wrapper, with that of the `optimizer`.
        paramwise_cfg: None or a dict with these keys. `free`: list; parameters whose name contains an entry are not
            decayed either. `lr_mult`: dict from a part of names to the factor on the lr of such parameters, > 0.

    Raises:
        ValueError: For another key in `paramwise_cfg`, an entry that is in no trainable parameter's name, or a factor
            that is not positive.

    Source: `get_params_groups` of facebookresearch/dino (utils.py); `free` is the `skip_list` of OpenDriveLab/maskalign
        (main_pretrain.py); `lr_mult` makes the four groups of `MkuuWaUjinga/leopart src/leopart.py`.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        paramwise_cfg = paramwise_cfg or {}
        unknown = sorted(set(paramwise_cfg) - {'free', 'lr_mult'})
        if unknown:
            raise UserError('DecayGroupsConstructor: paramwise_cfg takes the keys free and lr_mult alone, got '
                            f'{unknown[0]!r} (config key optim_wrapper.paramwise_cfg).')
        self.free = list(paramwise_cfg.get('free', ()))
        self.lr_mult = dict(paramwise_cfg.get('lr_mult', {}))
        for part, factor in self.lr_mult.items():
            if not factor > 0:
                raise UserError(f'DecayGroupsConstructor: lr_mult must be above 0, got {factor} '
                                f'(config key optim_wrapper.paramwise_cfg.lr_mult.{part}).')
        self.optim_wrapper_cfg = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Builds the optimizer over the model's trainable parameters, and its wrapper."""
        bare = model.module if is_model_wrapper(model) else model
        trained = {name: p for name, p in bare.named_parameters() if p.requires_grad}
        for key, parts in (('free', self.free), ('lr_mult', self.lr_mult)):
            for part in parts:
                if not any(part in name for name in trained):
                    raise UserError(f'DecayGroupsConstructor: no trainable parameter has {part!r} in its name '
                                    f'(config key optim_wrapper.paramwise_cfg.{key}).')
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        optimizer_cfg = dict(wrapper_cfg.pop('optimizer'))
        groups = []
        for factor in dict.fromkeys((1, *self.lr_mult.values())):
            lr = {} if factor == 1 else dict(lr=factor * optimizer_cfg['lr'])
            members = {name: p for name, p in trained.items() if self._factor(name) == factor}
            decayed = {name for name, p in members.items() if self._decays(name, p)}
            groups += [dict(params=[p for name, p in members.items() if name in decayed], **lr),
                       dict(params=[p for name, p in members.items() if name not in decayed], weight_decay=0.0, **lr)]
        optimizer = OPTIMIZERS.build(dict(optimizer_cfg, params=groups))
        wrapper = OPTIM_WRAPPERS.build(dict(type='OptimWrapper') | wrapper_cfg, default_args=dict(optimizer=optimizer))
        # mmengine's stand-in group for logging: auto_scale_lr passes it over, and the first group has the base lr.
        wrapper.base_param_settings = None
        return wrapper

    def _factor(self, name: str) -> float:
        return next((factor for part, factor in self.lr_mult.items() if part in name), 1)

    def _decays(self, name: str, parameter: nn.Parameter) -> bool:
        return not (name.endswith('.bias') or parameter.ndim == 1 or any(part in name for part in self.free))
