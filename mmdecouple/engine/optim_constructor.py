"""Optimizer constructor with parameter groups for weight decay and learning rates."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

from mmdecouple.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from mmdecouple.utils.errors import shown
from mmdecouple.utils.settings import Settings


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DecayGroupsConstructor:
    """Creates two parameter groups per lr: one with and one without weight decay (biases, one-dimensional tensors).

    As in DINO, the rule depends on names and shapes only, so that weight decay applies to the position embedding, class
    token, mask token and weight-norm gain `(K, 1)`. The number of groups is small because each group is a separate pass
    of the optimizer's multi-tensor kernels.

    Args:
        optim_wrapper_cfg: Config of the wrapper, including that of the `optimizer`.
        paramwise_cfg: None or a dict with the following keys. `free`: list of name parts of further parameters without
            weight decay. `lr_mult`: dict from name parts to the factor on the lr of these parameters, above 0.

    Raises:
        SettingError: `paramwise_cfg` has another key, a name part matches no trainable parameter, or a factor is not
            positive.

    Source: `get_params_groups` of facebookresearch/dino (utils.py); `free` is the `skip_list` of OpenDriveLab/maskalign
        (main_pretrain.py); `lr_mult` makes the four groups of `MkuuWaUjinga/leopart src/leopart.py`.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        paramwise_cfg = (
            Settings(self, 'optim_wrapper').block('paramwise_cfg', paramwise_cfg, optional=True, typed=False) or {}
        )
        self._check = Settings(self, 'optim_wrapper.paramwise_cfg')
        for key in paramwise_cfg:
            if key not in ('free', 'lr_mult'):
                self._check.refuse(key, 'is not a key of it; it takes free and lr_mult')
        free = paramwise_cfg.get('free', ())
        if not isinstance(free, (list, tuple)):
            self._check.refuse('free', f'must be a list of parts of names, got {shown(free)}')
        self.free = [self._check.text(f'free[{index}]', part) for index, part in enumerate(free)]
        self.lr_mult = dict(self._check.block('lr_mult', paramwise_cfg.get('lr_mult', {}), typed=False))
        for part, factor in self.lr_mult.items():
            self._check.number(f'lr_mult.{part}', factor, above=0)
        self.optim_wrapper_cfg = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Builds the optimizer of the trainable parameters of a model, and its wrapper."""
        bare = model.module if is_model_wrapper(model) else model
        trained = {name: p for name, p in bare.named_parameters() if p.requires_grad}
        for key, parts in (('free', self.free), ('lr_mult', self.lr_mult)):
            for part in parts:
                if not any(part in name for name in trained):
                    self._check.refuse(key, f'has {part!r}, but no trainable parameter has it in its name')
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        optimizer_cfg = dict(wrapper_cfg.pop('optimizer'))
        groups = []
        for factor in dict.fromkeys((1, *self.lr_mult.values())):
            lr = {} if factor == 1 else dict(lr=factor * optimizer_cfg['lr'])
            members = {name: p for name, p in trained.items() if self._factor(name) == factor}
            decayed = {name for name, p in members.items() if self._decays(name, p)}
            groups += [
                dict(params=[p for name, p in members.items() if name in decayed], **lr),
                dict(params=[p for name, p in members.items() if name not in decayed], weight_decay=0.0, **lr),
            ]
        optimizer = OPTIMIZERS.build(dict(optimizer_cfg, params=groups))
        wrapper = OPTIM_WRAPPERS.build(dict(type='OptimWrapper') | wrapper_cfg, default_args=dict(optimizer=optimizer))
        # mmengine logs the base lr from this extra group, which auto_scale_lr does not scale; the first group has it.
        wrapper.base_param_settings = None
        return wrapper

    def _factor(self, name: str) -> float:
        return next((factor for part, factor in self.lr_mult.items() if part in name), 1)

    def _decays(self, name: str, parameter: nn.Parameter) -> bool:
        return not (name.endswith('.bias') or parameter.ndim == 1 or any(part in name for part in self.free))
