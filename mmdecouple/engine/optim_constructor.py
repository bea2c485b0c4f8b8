"""Optimizer constructor with parameter groups for weight decay and learning rates."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

from mmdecouple.engine.layer_numbers import depth_of, layer_of
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
            `layer_decay`: r in (0, 1]; the lr of a layer of the ViT is multiplied by r^(depth + 1 - id), with the id of
            `layer_of`, so that heads have the full rate.

    Raises:
        SettingError: `paramwise_cfg` has another key, a name part matches no trainable parameter, a factor is out of
            range, or `layer_decay` is below 1 and the backbone has no list `layers` of blocks.

    Source: `get_params_groups` of facebookresearch/dino (utils.py); `free` is the `skip_list` of OpenDriveLab/maskalign
        (main_pretrain.py); `lr_mult` makes the four groups of `MkuuWaUjinga/leopart src/leopart.py`.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        paramwise_cfg = (
            Settings(self, 'optim_wrapper').block('paramwise_cfg', paramwise_cfg, optional=True, typed=False) or {}
        )
        self._check = Settings(self, 'optim_wrapper.paramwise_cfg')
        for key in paramwise_cfg:
            if key not in ('free', 'lr_mult', 'layer_decay'):
                self._check.refuse(key, 'is not a key of it; it takes free, lr_mult and layer_decay')
        free = paramwise_cfg.get('free', ())
        if not isinstance(free, (list, tuple)):
            self._check.refuse('free', f'must be a list of parts of names, got {shown(free)}')
        self.free = [self._check.text(f'free[{index}]', part) for index, part in enumerate(free)]
        self.lr_mult = dict(self._check.block('lr_mult', paramwise_cfg.get('lr_mult', {}), typed=False))
        for part, factor in self.lr_mult.items():
            self._check.number(f'lr_mult.{part}', factor, above=0)
        rate = paramwise_cfg.get('layer_decay', 1.0)
        self.layer_decay = self._check.number('layer_decay', rate, above=0, maximum=1)
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
        depth = self._depth(bare)
        factors = {name: self._factor(name, depth) for name in trained}
        groups = []
        # The full rate comes first, because mmengine logs the lr of the first group.
        for factor in dict.fromkeys((1, *self.lr_mult.values(), *sorted(factors.values(), reverse=True))):
            lr = {} if factor == 1 else dict(lr=factor * optimizer_cfg['lr'])
            members = {name: p for name, p in trained.items() if factors[name] == factor}
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

    def _depth(self, model: nn.Module) -> int:
        """Returns the number of blocks of the ViT, or 0 if the rate is equal for all layers."""
        depth = 0 if self.layer_decay == 1 else depth_of(model)
        if depth is None:
            self._check.refuse('layer_decay', 'is for models with a ViT as backbone (backbone.layers); remove it')
        return depth

    def _factor(self, name: str, depth: int) -> float:
        factor = next((factor for part, factor in self.lr_mult.items() if part in name), 1)
        return factor * self.layer_decay ** (depth + 1 - layer_of(name, depth)) if depth else factor

    def _decays(self, name: str, parameter: nn.Parameter) -> bool:
        return not (name.endswith('.bias') or parameter.ndim == 1 or any(part in name for part in self.free))
