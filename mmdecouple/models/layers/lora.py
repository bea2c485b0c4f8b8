"""Low-rank adapters (LoRA) of a frozen network."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.compatibility import after_state_dict, before_load_state_dict
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

_KEY = 'model.lora'


class LowRankUpdate(nn.Module):
    """alpha / r * B A dropout(x), added to the output of a linear layer; 0 before training.

    Args:
        layer: The linear layer, of which only the sizes are read.
        rank: r, at least 1.
        alpha: Scale, above 0.
        dropout: Rate of the dropout of x, in [0, 1).

    Source: arXiv 2106.09685, section 4.1; initialization as in `microsoft/LoRA`.
    """

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the update of the output for inputs (..., in), as (..., out)."""
        return self.up(self.down(self.dropout(inputs))) * self.scale

    @property
    def weight(self) -> Tensor:
        """Product that merging adds to the weight of the layer, (out, in)."""
        return self.scale * self.up.weight @ self.down.weight


@MODELS.register_module()
class LoRA(nn.ModuleDict):
    """Freezes a network and adds low-rank updates to its linear layers.

    The network keeps its class and its names: the updates are forward hooks on its layers, and their weights belong to
    this module. `merge_in_checkpoints` writes checkpoints with the sums.

    Args:
        network: The network; all of its parameters are frozen.
        rank: r of each update, at least 1.
        alpha: Scale of the updates, which is divided by r, above 0.
        dropout: Dropout rate of their inputs, in [0, 1).
        targets: Ends of the names of adapted linear layers, for example `('attn.qkv', 'attn.proj')`; None for all.

    Attributes:
        layers: Name of an update -> name of its layer, which has dots in place of underscores.

    Raises:
        SettingError: A value is out of range, or a target matches no linear layer.

    Source: `CongpeiQiu/UniRefiner models/lora/presets/linear_r-8.json` for the defaults.
    """

    def __init__(
        self,
        network: nn.Module,
        rank: int = 8,
        alpha: float = 16,
        dropout: float = 0.1,
        targets: Sequence[str] | None = None,
    ) -> None:
        check = Settings(self, _KEY)
        check.number('rank', rank, 1, whole=True)
        check.number('alpha', alpha, above=0)
        check.number('dropout', dropout, 0, below=1)
        super().__init__()
        linear = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
        if targets is not None:
            linear = _select(linear, targets, check)
        network.requires_grad_(False)
        self.layers = {name.replace('.', '_'): name for name in linear}
        for key, layer in zip(self.layers, linear.values()):
            self[key] = LowRankUpdate(layer, rank, alpha, dropout)
            layer.register_forward_hook(partial(_add, self[key]))


def merge_in_checkpoints(model: nn.Module, backbone: str, lora: str) -> None:
    """Makes the state dict of a model hold its adapted network merged, as an ordinary network.

    `BACKBONE.LAYER.weight` is the sum of the frozen weight and its update, and `LORA.UPDATE.base` the frozen weight.
    Loading such a state dict restores the frozen weights bit for bit. Weights without updates are loaded as they are,
    and updates of another rank, scale or of other layers raise a `UserError`.

    Args:
        model: Model with both modules.
        backbone: Name of the network in the model.
        lora: Name of its `LoRA` in the model.
    """
    after_state_dict(model, partial(_merge, backbone, lora))
    before_load_state_dict(model, partial(_separate, backbone, lora))


def _add(update: LowRankUpdate, _: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output + update(inputs[0])


def _places(backbone: str, lora: str, model: nn.Module, prefix: str) -> list[tuple[str, str]]:
    layers = getattr(model, lora).layers
    return [(f'{prefix}{backbone}.{name}.weight', f'{prefix}{lora}.{key}.base') for key, name in layers.items()]


@torch.no_grad()
def _merge(backbone: str, lora: str, model: nn.Module, state: dict, prefix: str, _) -> None:
    for (weight, base), update in zip(_places(backbone, lora, model, prefix), getattr(model, lora).values()):
        state[base] = state[weight]
        state[weight] = state[weight] + update.weight.to(state[weight])


@torch.no_grad()
def _separate(backbone: str, lora: str, model: nn.Module, state: dict, prefix: str, *_) -> None:
    places = _places(backbone, lora, model, prefix)
    stored = {key for key in state if key.startswith(f'{prefix}{lora}.') and key.endswith('.base')}
    if not stored:
        return
    fits = stored == {base for _, base in places}
    for (weight, base), update in zip(places, getattr(model, lora).values()) if fits else ():
        down, up = (state.get(f'{base.removesuffix("base")}{part}.weight') for part in ('down', 'up'))
        fits = (
            down is not None
            and up is not None
            and (down.shape, up.shape) == (update.down.weight.shape, update.up.weight.shape)
        )
        if not fits:
            break
        added = update.scale * up.float() @ down.float()
        found = state[weight].float() - state[base].float()
        # The sum is rounded to the type of the weights.
        rounding = 4 * torch.finfo(state[weight].dtype).eps * state[base].abs().max().float()
        fits = bool((found - added).abs().max() <= rounding + 1e-3 * added.abs().max())
        if not fits:
            break
    if not fits:
        raise UserError(
            'LoRA: the low-rank updates of the checkpoint have another rank, alpha, or other layers than the model; '
            'set the config key model.lora as in its training, or start from its merged backbone (config key '
            'model.backbone.weights).'
        )
    for weight, base in places:
        state[weight] = state.pop(base)


def _select(linear: dict[str, nn.Module], targets: Sequence[str], check: Settings) -> dict[str, nn.Module]:
    if isinstance(targets, str) or not targets or not all(isinstance(target, str) and target for target in targets):
        check.refuse('targets', f'must be a list of ends of names, or None, got {targets!r}')
    for target in targets:
        if not any(name.endswith(target) for name in linear):
            kinds = sorted({'.'.join(part for part in name.split('.')[2:]) for name in linear})
            check.refuse('targets', f'{target!r} matches no linear layer; their names end with {", ".join(kinds)}')
    return {name: layer for name, layer in linear.items() if name.endswith(tuple(targets))}
