"""Detection of a ViT among the tensors of a checkpoint, and checks that it is complete."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError

from .roles import ONLY, ROLES, Held, held_networks
from .vit_facts import ViTFacts
from .vit_names import VIT_NAMES, ViTNames
from .vit_parts import is_grid, joined, present, unfold_positions

FORMATS = tuple(dict.fromkeys(names.format for names in VIT_NAMES))
# These formats differ only outside the backbone, so a bare backbone matches each of them.
_ALIKE = ('ibot', 'dino', 'leopart', 'timm', 'dinov2', 'dinov3')
_OF_TIMM = ('norm_pre.weight', 'head.weight', 'fc_norm.weight', 'reg_token', 'blocks.0.ls1.gamma', 'blocks.0.gamma_1')
_LIMIT, _LONGEST = 6, 60


def roles_of(content: dict[str, Any], where: str = 'The checkpoint') -> tuple[str, ...]:
    """Returns the roles of the networks in a checkpoint; empty if it holds a single network without a role.

    Args:
        content: Content of a checkpoint.
        where: Name of the checkpoint in messages.

    Raises:
        UserError: See `held_networks`.
    """
    return tuple(role for role in ROLES if role in networks_of(content, where))


def choose_network(content: dict[str, Any], role: str | None, where: str) -> tuple[Held, list[str]]:
    """Returns one network of a checkpoint, and the names of the others.

    Args:
        content: See `to_ours` in `vit.py`.
        role: See `to_ours`.
        where: See `to_ours`.

    Raises:
        UserError: There is no network, or no network with this role.
    """
    networks = networks_of(content, where)
    if not networks:
        some = ', '.join(_some_names(content)) or 'nothing'
        raise UserError(
            f'{where} holds no ViT in one of the formats {", ".join(FORMATS)}; its tensors begin with {some}.'
        )
    return pick(networks, role, where)


def pick(networks: dict[str, Held], role: str | None, where: str) -> tuple[Held, list[str]]:
    """Returns the network with a role, and the names of the others.

    Args:
        networks: Result of `held_networks`, not empty.
        role: `teacher` or `student`; None for the teacher if there is one, else for the other network.
        where: Name of the file in messages.

    Raises:
        UserError: There is no network with this role.
    """
    found = next(name for name in (role, *ROLES, ONLY) if name in networks)
    if role is not None and found not in (role, ONLY):
        raise UserError(f'{where} holds no {role}, only a {found} ({networks[found].root}.*); choose the {found}.')
    return networks[found], [other.root for name, other in networks.items() if name != found]


def networks_of(content: dict[str, Any], where: str) -> dict[str, Held]:
    """Returns the ViTs of a checkpoint by role, see `held_networks`."""
    return held_networks(content, _prefixes, where, chunks=True)


def _prefixes(names: Collection[str]) -> Collection[str]:
    return next(filter(None, (format.blocks(list(names)) for format in VIT_NAMES)), ())


def _some_names(content: dict[str, Any]) -> list[str]:
    parts = [content[key] for key in ('state_dict', 'model', *ROLES) if isinstance(content.get(key), dict)]
    held = parts[0] if parts else content
    return [str(key)[:_LONGEST] for key, value in held.items() if isinstance(value, Tensor)][:3]


def recognize(network: Held, content: dict[str, Any], format: str, where: str) -> tuple[ViTNames, int]:
    """Returns the names of the format of a network, and its number of blocks.

    Args:
        network: Network, as returned by `choose_network`.
        content: Content of the checkpoint.
        format: Expected format, or `auto`.
        where: Name of the checkpoint in messages.

    Raises:
        UserError: The names are not those of the expected format.
    """
    names, prefixes = next((names, found) for names in VIT_NAMES if (found := names.blocks(list(network.state))))
    found = _which_alike(network, content) if names.format in _ALIKE else names.format
    if format not in ('auto', found) and not {format, found} <= set(_ALIKE):
        raise UserError(f'{where} has the tensor names of format {found}, not of {format}; choose {found} or auto.')
    expected = found if format == 'auto' or found not in _ALIKE else format
    if found in _ALIKE or names.format == 'huggingface':
        tables = [other for other in VIT_NAMES if other.format == expected]
        marked = [other for other in tables if network.prefix + other.mark in network.state and other.mark]
        names = (marked or tables)[0]
    return names, max(prefixes[network.prefix]) + 1


def take_backbone(
    state: dict[str, Tensor], names: ViTNames, prefix: str, layers: int, facts: ViTFacts, where: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Extracts the backbone and converts it to own names and shapes in float32.

    Args:
        state: State dict of one network.
        names: Names of its format.
        prefix: Prefix of the names of its backbone.
        layers: Number of blocks.
        facts: Facts that the file states.
        where: Name of the checkpoint in messages.

    Returns:
        The backbone, and a dict that maps own names to names in the checkpoint.

    Raises:
        UserError: A tensor is missing, has another shape, or is unknown to the ViT of this package.
    """
    table = {
        ours: tuple(None if name is None else prefix + name for name in theirs)
        for ours, theirs in names.expand(layers).items()
    }
    table = present(table, state)
    known = [name for theirs in table.values() for name in theirs if name is not None]
    missing = [name for name in known if name not in state]
    if missing:
        raise UserError(f'{where} lacks {_some(missing)} of a backbone of {layers} blocks; use a complete file.')
    odd = [
        key
        for key in sorted(set(state) - set(known))
        if key.startswith(prefix) and not names.is_beside(key[len(prefix) :])
    ]
    if odd:
        raise UserError(f'{where} holds {_some(odd)}, which DenseViT does not have; use weights of a plain ViT.')
    _check_ranks(state, table, facts, where)
    backbone = {ours: joined(theirs, state) for ours, theirs in table.items()}
    backbone['cls_token'] = backbone['cls_token'].reshape(1, 1, -1)
    for name in ('pos_embed', 'register_tokens'):
        if name in backbone:
            backbone[name] = backbone[name].reshape(1, *backbone[name].shape[-2:])
    if 'mask_token' in backbone:
        backbone['mask_token'] = backbone['mask_token'].reshape(1, -1)
    if 'pos_embed' in backbone:
        unfold_positions(backbone, facts)
    origin = {ours: ' + '.join(filter(None, theirs)) for ours, theirs in table.items()}
    _check_shapes(backbone, origin, where)
    return backbone, origin


def _which_alike(network: Held, content: dict[str, Any]) -> str:
    state, prefix = network.state, network.prefix
    if 'ibot_loss' in content or f'{prefix}masked_embed' in state or 'head.last_layer2.weight_v' in state:
        return 'ibot'
    if f'{prefix}projection_head.0.weight' in state:
        return 'leopart'
    if {prefix + name for name in ('storage_tokens', 'rope_embed.periods', 'blocks.0.attn.qkv.bias_mask')} & set(state):
        return 'dinov3'
    if f'{prefix}register_tokens' in state or f'{prefix}blocks.0.mlp.w12.weight' in state:
        return 'dinov2'
    if f'{prefix}blocks.0.ls1.gamma' in state and f'{prefix}mask_token' in state:
        return 'dinov2'
    of_timm = {prefix + name for name in _OF_TIMM}
    return 'timm' if network.group == 'model' or of_timm & set(state) else 'dino'


def _check_ranks(state: dict[str, Tensor], table: dict[str, list[str]], facts: ViTFacts, where: str) -> None:
    """Checks the number of axes of all tensors, and that parts of one own tensor are equal in shape."""
    for ours, theirs in table.items():
        first = tuple(state[theirs[0]].shape)
        for name in filter(None, theirs):
            shape = tuple(state[name].shape)
            if not state[name].is_floating_point() and not name.endswith('bias_mask'):
                kind = str(state[name].dtype).removeprefix('torch.')
                raise UserError(
                    f'{where}: {name} holds {kind} values, whose scale is unknown; use weights in floating point.'
                )
            if ours == 'pos_embed':
                # timm stores no position of the class token beside registers.
                rest = shape[-2] - 1 if len(shape) > 1 else 0
                known = is_grid(rest, facts) or ('register_tokens' in table and is_grid(rest + 1, facts))
                grid = 'a square, as the file states no grid' if facts.grid is None else '{} x {}'.format(*facts.grid)
                fits, needed = shape[:-2] in ((), (1,)) and known, f'(1, 1 + patches of {grid}, width)'
            elif ours == 'patch_embed.projection.weight':
                fits, needed = (
                    len(shape) == 4 and shape[1] > 0 and shape[2] == shape[3] > 0,
                    '(width, channels, patch, patch)',
                )
            elif ours == 'register_tokens':
                fits, needed = len(shape) == 3 and shape[0] == 1 and min(shape) > 0, '(1, registers, width)'
            elif 'token' in ours:
                fits, needed = 0 < state[name].numel() == (shape or (0,))[-1], '(1, 1, width)'
            else:
                linear = ours.endswith('weight') and ('attn' in ours or 'ffn' in ours) and 'gamma' not in ours
                needed = '(out, in)' if linear else '(width,)'
                fits = len(shape) == (2 if needed == '(out, in)' else 1)
                if fits and shape != first:
                    fits, needed = False, f'{first} as {theirs[0]} has'
            if not fits:
                raise UserError(
                    f'{where}: {name} has the shape {shape} instead of {needed}; the file holds another '
                    'architecture, or is damaged.'
                )


def _check_shapes(backbone: dict[str, Tensor], origin: dict[str, str], where: str) -> None:
    width = backbone['cls_token'].shape[-1]
    gated = backbone.get('layers.0.ffn.w3.weight')
    hidden = len(backbone['layers.0.ffn.layers.0.0.weight']) if gated is None else gated.shape[1]
    if gated is not None and hidden % 8:
        raise UserError(
            f'{where}: {origin["layers.0.ffn.w3.weight"]} is of a SwiGLU with {hidden} hidden channels, but those of '
            'DenseViT are multiples of 8; use another network.'
        )
    shapes = {
        'cls_token': (1, 1, width),
        'mask_token': (1, width),
        **{name: (1, backbone[name].shape[1], width) for name in ('pos_embed', 'register_tokens') if name in backbone},
        'rope.periods': tuple(backbone.get('rope.periods', torch.empty(0)).shape),
        'ffn.w12.weight': (2 * hidden, width),
        'ffn.w12.bias': (2 * hidden,),
        'ffn.w3.weight': (width, hidden),
        'patch_embed.projection.weight': (width, *backbone['patch_embed.projection.weight'].shape[1:]),
        'attn.qkv.weight': (3 * width, width),
        'attn.qkv.bias': (3 * width,),
        'attn.proj.weight': (width, width),
        'ffn.layers.0.0.weight': (hidden, width),
        'ffn.layers.0.0.bias': (hidden,),
        'ffn.layers.1.weight': (width, hidden),
    }
    for ours, value in backbone.items():
        part = ours.split('.', 2)[-1] if ours.startswith('layers.') else ours
        expected = shapes.get(part, (width,))
        if tuple(value.shape) != expected:
            raise UserError(
                f'{where}: {origin[ours]} has the shape {tuple(value.shape)}, but a backbone of width '
                f'{width} requires {expected}; use weights of a plain ViT.'
            )


def _some(names: list[str]) -> str:
    more = f' and {len(names) - _LIMIT} more' if len(names) > _LIMIT else ''
    return ', '.join(names[:_LIMIT]) + more
