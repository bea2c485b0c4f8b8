"""Heads and centers that ViT checkpoints hold beside the backbone.

The functions that read return `{our name: (its name in the checkpoint, tensor)}`, empty when nothing is there.
"""

import re

import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError

_HEAD = {
    **{f'mlp.{layer}.{kind}': f'mlp.{layer}.{kind}' for layer in (0, 2, 4) for kind in ('weight', 'bias')},
    'last_layer.parametrizations.weight.original0': 'last_layer.weight_g',
    'last_layer.parametrizations.weight.original1': 'last_layer.weight_v',
}
_PROTOTYPES = {
    **{
        f'neck.mlp.{layer}.{kind}': f'projection_head.{layer}.{kind}'
        for layer in (0, 2, 4)
        for kind in ('weight', 'bias')
    },
    'neck.prototypes.weight': 'prototypes.weight',
}
_CENTERS = {'class_center.value': ('center', (1, -1)), 'patch_center.value': ('center2', (1, 1, -1))}


def head_to_ours(state: dict[str, Tensor], where: str) -> dict[str, tuple[str, Tensor]]:
    """Projection head of DINO or iBOT (`head.*`) as our `neck.*`.

    iBOT's shared head is stored twice, as `last_layer` and `last_layer2`; ours holds it once.

    Args:
        state: State dict of one network, names without `module.`.
        where: What to call the checkpoint in messages.

    Raises:
        ValueError: If it is no three-layer head without batch norm, or patches have a last layer of their own.
    """
    found = {key for key in state if key.startswith('head.')}
    if not found:
        return {}
    twins = {f'head.last_layer.{kind}': f'head.last_layer2.{kind}' for kind in ('weight_g', 'weight_v')}
    for shared, own in twins.items():
        if {shared, own} <= found and not torch.equal(state[shared], state[own]):
            raise UserError(
                f'{where}: {own} differs from {shared}; only a head that class and patch tokens share '
                'can be converted (iBOT: --shared_head true).'
            )
    names = {f'neck.{ours}': f'head.{theirs}' for ours, theirs in _HEAD.items()}
    odd = sorted((found - set(twins.values())) ^ set(names.values()))
    if odd:
        raise UserError(
            f'{where}: the head is not the three linear layers and the weight-normalized last layer of '
            f'DINO and iBOT: {odd[0]} is {"unknown" if odd[0] in found else "missing"}.'
        )
    return {ours: (theirs, state[theirs]) for ours, theirs in names.items()}


def head_from_ours(rest: dict[str, Tensor]) -> dict[str, Tensor]:
    """IBOT's shared head (`head.*`, the last layer twice) from our `neck.*`; empty without a whole one."""
    if not all(f'neck.{ours}' in rest for ours in _HEAD):
        return {}
    head = {f'head.{theirs}': rest[f'neck.{ours}'] for ours, theirs in _HEAD.items()}
    return {**head, **{key.replace('last_layer', 'last_layer2'): head[key] for key in head if 'last_layer' in key}}


def prototypes_to_ours(state: dict[str, Tensor]) -> dict[str, tuple[str, Tensor]]:
    """Leopart's projection head of three layers and its prototypes as our `neck.*`; empty without a whole one."""
    if not set(_PROTOTYPES.values()) <= set(state):
        return {}
    return {ours: (theirs, state[theirs]) for ours, theirs in _PROTOTYPES.items()}


def prototypes_from_ours(rest: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leopart's `projection_head.*` and `prototypes.weight` from our `neck.*`; empty without a whole one."""
    return {theirs: rest[ours] for ours, theirs in _PROTOTYPES.items()} if set(_PROTOTYPES) <= set(rest) else {}


def centers_to_ours(content: dict[str, dict[str, Tensor]]) -> dict[str, tuple[str, Tensor]]:
    """Our centers, (K,) each, from DINO's `center` (1, K) or iBOT's `center` and `center2` (1, 1, K).

    Args:
        content: The checkpoint, which holds them in `dino_loss` or `ibot_loss`.
    """
    return {
        ours: (f'{loss}.{theirs}', content[loss][theirs].flatten())
        for loss in ('dino_loss', 'ibot_loss')
        if isinstance(content.get(loss), dict)
        for ours, (theirs, _) in _CENTERS.items()
        if isinstance(content[loss].get(theirs), Tensor)
    }


def centers_from_ours(rest: dict[str, Tensor]) -> dict[str, Tensor]:
    """IBOT's `center` (1, K) and `center2` (1, 1, K) from our centers."""
    return {theirs: rest[ours].reshape(shape) for ours, (theirs, shape) in _CENTERS.items() if ours in rest}


def alignment_to_ours(state: dict[str, Tensor], loss_weights: str = 'top5') -> dict[str, tuple[str, Tensor]]:
    """MaskAlign's dynamic alignment (`distill_*`) as our `neck.weights` and `neck.heads.*`, if its heads are linear.

    MaskAlign stores a row and a head for every level of the teacher, ours those that the loss uses.

    Args:
        state: State dict of MaskAlign's model.
        loss_weights: Its option of that name: `top5` uses the last five levels; anything but `topK` uses all.
    """
    if 'distill_weights' not in state or state['distill_weights'].ndim != 2:
        return {}
    depth, top = len(state['distill_weights']), re.fullmatch(r'top(\d+)', str(loss_weights))
    first = max(0, depth - int(top[1])) if top else 0
    heads = {
        f'neck.heads.{level - first}.{kind}': f'distill_heads.{level}.{kind}'
        for level in range(first, depth)
        for kind in ('weight', 'bias')
    }
    if not set(heads.values()) <= set(state):
        return {}
    return {
        'neck.weights': ('distill_weights', state['distill_weights'][first:].clone()),
        **{ours: (theirs, state[theirs]) for ours, theirs in heads.items()},
    }
