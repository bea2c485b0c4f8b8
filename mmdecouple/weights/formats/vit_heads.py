"""Conversion of heads and centers in ViT checkpoints.

The functions `*_to_ours` return `{own name: (name in the checkpoint, tensor)}`, empty if the checkpoint lacks the part.
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
    """Converts the projection head of DINO or iBOT (`head.*`) to `neck.*`.

    iBOT stores its shared last layer twice, as `last_layer` and `last_layer2`; this package stores it once.

    Args:
        state: State dict of one network, names without `module.`.
        where: Name of the checkpoint in messages.

    Raises:
        UserError: The head does not have three layers without batch norm, or patch tokens have a separate last layer.
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
    """Converts `neck.*` to iBOT's shared head (`head.*`, with the last layer twice); empty if it is incomplete."""
    if not all(f'neck.{ours}' in rest for ours in _HEAD):
        return {}
    head = {f'head.{theirs}': rest[f'neck.{ours}'] for ours, theirs in _HEAD.items()}
    return {**head, **{key.replace('last_layer', 'last_layer2'): head[key] for key in head if 'last_layer' in key}}


def prototypes_to_ours(state: dict[str, Tensor]) -> dict[str, tuple[str, Tensor]]:
    """Converts Leopart's projection head of three layers and its prototypes to `neck.*`; empty if it is incomplete."""
    if not set(_PROTOTYPES.values()) <= set(state):
        return {}
    return {ours: (theirs, state[theirs]) for ours, theirs in _PROTOTYPES.items()}


def prototypes_from_ours(rest: dict[str, Tensor]) -> dict[str, Tensor]:
    """Converts `neck.*` to Leopart's `projection_head.*` and `prototypes.weight`; empty if it is incomplete."""
    return {theirs: rest[ours] for ours, theirs in _PROTOTYPES.items()} if set(_PROTOTYPES) <= set(rest) else {}


def centers_to_ours(content: dict[str, dict[str, Tensor]]) -> dict[str, tuple[str, Tensor]]:
    """Converts DINO's `center` `(1, K)`, or iBOT's `center` and `center2` `(1, 1, K)`, to centers `(K,)`.

    Args:
        content: Checkpoint with the centers in `dino_loss` or `ibot_loss`.
    """
    return {
        ours: (f'{loss}.{theirs}', content[loss][theirs].flatten())
        for loss in ('dino_loss', 'ibot_loss')
        if isinstance(content.get(loss), dict)
        for ours, (theirs, _) in _CENTERS.items()
        if isinstance(content[loss].get(theirs), Tensor)
    }


def centers_from_ours(rest: dict[str, Tensor]) -> dict[str, Tensor]:
    """Converts centers `(K,)` to iBOT's `center` `(1, K)` and `center2` `(1, 1, K)`."""
    return {theirs: rest[ours].reshape(shape) for ours, (theirs, shape) in _CENTERS.items() if ours in rest}


def alignment_to_ours(state: dict[str, Tensor], loss_weights: str = 'top5') -> dict[str, tuple[str, Tensor]]:
    """Converts MaskAlign's dynamic alignment (`distill_*`) with linear heads to `neck.weights` and `neck.heads.*`.

    MaskAlign stores a row and a head for every level of the teacher, this package only those that the loss uses.

    Args:
        state: State dict of MaskAlign's model.
        loss_weights: MaskAlign's option of that name: `topK` uses the last K levels, any other value uses all levels.
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
