"""Finding a ViT among the tensors of a checkpoint, and refusing one that is not whole."""
from typing import Any

import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError

from .vit_names import VIT_NAMES, ViTNames

ROLES = ('teacher', 'student')
FORMATS = tuple(dict.fromkeys(names.format for names in VIT_NAMES))
# These differ in what stands beside the backbone only, so a bare backbone can be any of them.
_ALIKE = ('ibot', 'dino', 'leopart', 'timm')
_LIMIT = 6


def roles_of(content: dict[str, Any]) -> tuple[str, ...]:
    """The roles that have a network of their own in a checkpoint's content; empty if it holds a single network."""
    content = split_networks(content)
    prefixes = {key.partition('backbone.')[0] for key in content.get('state_dict', content) if 'backbone.' in key}
    if {'', 'teacher.'} <= prefixes:
        return ROLES
    return tuple(role for role in ROLES if isinstance(content.get(role), dict))


def split_networks(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's content with Leopart's networks apart, as DINO keeps them; any other content as it is.

    Leopart is saved by Lightning, as one `state_dict` with `model.*` for the student and `teacher.*`.
    """
    state = content.get('state_dict')
    if not isinstance(state, dict) or not {'model.cls_token', 'teacher.cls_token'} <= set(state):
        return content
    networks = {role: {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
                for role, prefix in (('student', 'model.'), ('teacher', 'teacher.'))}
    return {**{key: value for key, value in content.items() if key != 'state_dict'}, **networks}


def choose_network(content: dict[str, Any], role: str, where: str) -> tuple[dict[str, Tensor], str | None]:
    """State dict of one network of a checkpoint, without `module.`, and the key that held it (None: no key).

    Args: see `to_ours` of `vit_formats.py`; `content` as `split_networks` gives it.
    """
    networks = [key for key in ROLES if isinstance(content.get(key), dict)]
    if networks and role not in networks:
        raise UserError(f'{where} holds no {role}, only a {networks[0]}.')
    single = next((key for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), None)
    wrapper = role if networks else single
    state = content if wrapper is None else content[wrapper]
    return {key.removeprefix('module.'): value for key, value in state.items() if isinstance(value, Tensor)}, wrapper


def recognize(state: dict[str, Tensor], content: dict[str, Any], wrapper: str | None, role: str, format: str,
              where: str) -> tuple[ViTNames, str, int]:
    """Names of the format, the prefix of the backbone's tensors, and the number of blocks.

    Args:
        state, wrapper: As `choose_network` returns them.
        content: The checkpoint.
        role: Which backbone of ours, if there are two.
        format: Expected format, or `auto`.
        where: What to call the checkpoint in messages.

    Raises:
        ValueError: If no format, or not the expected one, has these names.
    """
    for names in VIT_NAMES:
        prefixes = names.blocks(list(state))
        if not prefixes:
            continue
        wanted = 'teacher.backbone.' if role == 'teacher' else 'backbone.'
        prefix = wanted if wanted in prefixes else min(prefixes, key=len)
        found = _which_alike(state, content, wrapper, prefix) if names.format in _ALIKE else names.format
        if format not in ('auto', found) and not {format, found} <= set(_ALIKE):
            raise UserError(f'{where} has the tensor names of format {found}, not of {format}.')
        if found in _ALIKE:
            names = next(other for other in VIT_NAMES if other.format == (found if format == 'auto' else format))
        return names, prefix, max(prefixes[prefix]) + 1
    some = ', '.join(list(state)[:3]) or 'nothing'
    raise UserError(f'{where} holds no ViT in one of the formats {", ".join(FORMATS)}; its tensors begin with {some}.')


def take_backbone(state: dict[str, Tensor], names: ViTNames, prefix: str, layers: int,
                  where: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The backbone in our names and shapes, float32, and our names -> names in the checkpoint.

    Raises:
        ValueError: If a tensor is missing, has another shape, or has no place in our ViT.
    """
    table = {ours: [prefix + name for name in theirs] for ours, theirs in names.expand(layers).items()}
    if 'pre_norm.weight' in table and table['pre_norm.weight'][0] in state:
        table.pop('patch_embed.projection.bias')
    else:
        table = {ours: theirs for ours, theirs in table.items() if not ours.startswith('pre_norm.')}
    if 'mask_token' in table and table['mask_token'][0] not in state:
        table.pop('mask_token')
    known = [name for theirs in table.values() for name in theirs]
    missing = [name for name in known if name not in state]
    if missing:
        raise UserError(f'{where} lacks {_some(missing)} of a backbone of {layers} blocks.')
    odd = [key for key in sorted(set(state) - set(known))
           if key.startswith(prefix) and not names.is_beside(key[len(prefix):])]
    if odd:
        raise UserError(f'{where} holds {_some(odd)}, for which our ViT has no place: it is another architecture.')
    backbone = {ours: torch.cat([state[name] for name in theirs]).float() for ours, theirs in table.items()}
    backbone['cls_token'] = backbone['cls_token'].reshape(1, 1, -1)
    backbone['pos_embed'] = backbone['pos_embed'].reshape(1, *backbone['pos_embed'].shape[-2:])
    if 'mask_token' in backbone:
        backbone['mask_token'] = backbone['mask_token'].reshape(1, -1)
    origin = {ours: ' + '.join(theirs) for ours, theirs in table.items()}
    _check_shapes(backbone, origin, where)
    return backbone, origin


def _which_alike(state: dict[str, Tensor], content: dict[str, Any], wrapper: str | None, prefix: str) -> str:
    if 'ibot_loss' in content or f'{prefix}masked_embed' in state or 'head.last_layer2.weight_v' in state:
        return 'ibot'
    if f'{prefix}projection_head.0.weight' in state:
        return 'leopart'
    of_timm = {prefix + name for name in ('norm_pre.weight', 'head.weight', 'fc_norm.weight')}
    return 'timm' if wrapper == 'model' or of_timm & set(state) else 'dino'


def _check_shapes(backbone: dict[str, Tensor], origin: dict[str, str], where: str) -> None:
    width, hidden = backbone['cls_token'].shape[-1], len(backbone['layers.0.ffn.layers.0.0.weight'])
    shapes = {
        'cls_token': (1, 1, width),
        'mask_token': (1, width),
        'pos_embed': (1, backbone['pos_embed'].shape[1], width),
        'patch_embed.projection.weight': (width, *backbone['patch_embed.projection.weight'].shape[1:]),
        'attn.qkv.weight': (3 * width, width),
        'attn.qkv.bias': (3 * width, ),
        'attn.proj.weight': (width, width),
        'ffn.layers.0.0.weight': (hidden, width),
        'ffn.layers.0.0.bias': (hidden, ),
        'ffn.layers.1.weight': (width, hidden),
    }
    for ours, value in backbone.items():
        part = ours.split('.', 2)[-1] if ours.startswith('layers.') else ours
        expected = shapes.get(part, (width, ))
        if tuple(value.shape) != expected:
            raise UserError(f'{where}: {origin[ours]} has the shape {tuple(value.shape)}, but a backbone of width '
                            f'{width} needs {expected}.')


def _some(names: list[str]) -> str:
    more = f' and {len(names) - _LIMIT} more' if len(names) > _LIMIT else ''
    return ', '.join(names[:_LIMIT]) + more
