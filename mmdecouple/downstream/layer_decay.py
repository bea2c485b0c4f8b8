"""Optimizer for fine-tuning a ViT with a learning rate that decreases from block to block towards the input."""

import io
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from rich.console import Console
from rich.table import Table
from torch import nn

from mmdecouple.engine.layer_numbers import depth_of, layer_of
from mmdecouple.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from mmdecouple.utils.errors import UserError

_TOKENS = ('backbone.cls_token', 'backbone.pos_embed', 'backbone.register_tokens')
_OPTIONS = ('decay_rate', 'exempt_tokens')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor:
    """Builds parameter groups with lr * r^(depth + 1 - id), without weight decay for biases and 1-D tensors.

    `id` is that of `layer_of`; pyramid, FPN, heads and the final norm of the backbone have the factor 1. The rule of
    iBOT, BEiT, mmseg and mmdet that exempts position embedding and class token from weight decay compares names without
    `backbone.` and never matches. Both ARE decayed in all published results, and therefore also here by default.

    Args:
        optim_wrapper_cfg: Config of the wrapper, with that of the `optimizer`.
        paramwise_cfg: `decay_rate`: r in (0, 1]. `exempt_tokens`: whether to exempt position embedding, class token
            and register tokens from weight decay, as the rule intended (default False).

    Raises:
        UserError: `paramwise_cfg` has another key, the rate is out of range, or the backbone has no list `layers` of
            blocks.

    Source: `bytedance/ibot evaluation/object_detection/mmcv_custom/layer_decay_optimizer_constructor.py`.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        options = dict(paramwise_cfg or {})
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise UserError(
                f'LayerDecayConstructor: paramwise_cfg accepts only the keys {" and ".join(_OPTIONS)}, got '
                f'{unknown[0]!r} (config key optim_wrapper.paramwise_cfg).'
            )
        self.rate = options.get('decay_rate', 1.0)
        if not 0 < self.rate <= 1:
            raise UserError(
                f'LayerDecayConstructor: decay_rate must lie in (0, 1], got {self.rate} '
                '(config key optim_wrapper.paramwise_cfg.decay_rate).'
            )
        self.exempt_tokens = options.get('exempt_tokens', False)
        self.optim_wrapper_cfg = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Builds the optimizer of the model's trainable parameters and its wrapper, and prints the groups once."""
        bare = model.module if is_model_wrapper(model) else model
        depth = depth_of(bare)
        if depth is None:
            raise UserError(
                'LayerDecayConstructor: the model has no ViT as its backbone (no backbone.layers); use '
                "mmengine's DefaultOptimWrapperConstructor (config key optim_wrapper.constructor)."
            )
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        optimizer_cfg = dict(wrapper_cfg.pop('optimizer'))
        decay = optimizer_cfg.get('weight_decay', 0.0)
        found: dict[tuple[int, bool], list[nn.Parameter]] = {}
        for name, parameter in bare.named_parameters():
            if parameter.requires_grad:
                key = layer_of(name, depth), not self._is_free(name, parameter)
                found.setdefault(key, []).append(parameter)
        # The group of the heads comes first, because mmengine logs the lr of the first group.
        groups = []
        for (layer, decayed), params in sorted(found.items(), reverse=True, key=lambda item: item[0]):
            factor = self.rate ** (depth + 1 - layer)
            groups.append(
                dict(
                    params=params,
                    lr=optimizer_cfg['lr'] * factor,
                    lr_scale=factor,
                    layer=layer,
                    weight_decay=decay if decayed else 0.0,
                )
            )
        self._print(groups, depth)
        optimizer = OPTIMIZERS.build(dict(optimizer_cfg, params=groups))
        wrapper = OPTIM_WRAPPERS.build(dict(type='OptimWrapper') | wrapper_cfg, default_args=dict(optimizer=optimizer))
        # Group that mmengine adds for logging; auto_scale_lr ignores it if it is None.
        wrapper.base_param_settings = None
        return wrapper

    def _is_free(self, name: str, parameter: nn.Parameter) -> bool:
        return parameter.ndim == 1 or name.endswith('.bias') or (self.exempt_tokens and name in _TOKENS)

    def _print(self, groups: list[dict], depth: int) -> None:
        if not is_main_process():
            return
        table = Table(
            'layer',
            'lr factor',
            'lr',
            'weight decay',
            'tensors',
            'parameters',
            title=f'Parameter groups: {depth} blocks, decay rate {self.rate:g}',
        )
        for group in groups:
            layer = group['layer']
            name = 'embeddings' if layer == 0 else 'all else' if layer > depth else f'block {layer - 1}'
            count = sum(p.numel() for p in group['params'])
            table.add_row(
                name,
                f'{group["lr_scale"]:.4f}',
                f'{group["lr"]:.3g}',
                f'{group["weight_decay"]:g}',
                str(len(group['params'])),
                f'{count:,}',
            )
        console = Console(file=io.StringIO(), width=100)
        console.print(table)
        print_log('\n' + console.file.getvalue(), 'current')
