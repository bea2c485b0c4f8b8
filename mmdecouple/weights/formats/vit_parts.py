"""Tensors of a ViT that another format splits, folds or lacks."""

import math
import re

import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError

from .vit_arch import rope_periods, vit_heads, vit_rope_base
from .vit_facts import ViTFacts

# Groups of tensors that a network has all, or none of.
_OPTIONAL = (
    ('pre_norm.',),
    ('mask_token',),
    ('register_tokens',),
    ('rope.periods',),
    ('layers.#.attn.qkv.bias',),
    ('layers.#.attn.gamma1.', 'layers.#.ffn.gamma2.'),
)
_MLP, _GATED = 'layers.#.ffn.layers.', 'layers.#.ffn.w'
Names = dict[str, tuple[str | None, ...]]


def present(table: Names, state: dict[str, Tensor]) -> Names:
    """Returns the part of a table of names that a network has, where optional tensors are those of any block.

    Args:
        table: Own name -> names in the file; None for a part that the format lacks.
        state: Tensors of the file.
    """
    held = {_kind(ours) for ours, theirs in table.items() if theirs[0] in state}
    absent = [kind for group in _OPTIONAL if not any(name.startswith(group) for name in held) for kind in group]
    if 'rope.periods' in held:
        absent.append('pos_embed')
    if 'pre_norm.weight' in held:
        absent.append('patch_embed.projection.bias')
    absent.append(_MLP if _is_gated(table, state) else _GATED)
    return {ours: theirs for ours, theirs in table.items() if not _kind(ours).startswith(tuple(absent))}


def joined(theirs: tuple[str | None, ...], state: dict[str, Tensor]) -> Tensor:
    """Returns the own tensor of the parts of a file, float32."""
    parts = [None if name is None else state[name] for name in theirs]
    if theirs[-1].endswith('.bias_mask'):
        bias, mask = parts
        return torch.where(mask.bool(), bias, 0).float()
    return torch.cat([torch.zeros_like(parts[0]) if part is None else part for part in parts]).float()


def parted(value: Tensor, theirs: tuple[str | None, ...]) -> dict[str, Tensor]:
    """Returns the parts of an own tensor by their names in the format; the reverse of `joined`.

    Raises:
        UserError: The format lacks a part that is not zero.
    """
    masked = theirs[-1].endswith('.bias_mask')
    names = (theirs[0], None, theirs[0]) if masked else theirs
    found = {}
    for name, part in zip(names, value.chunk(len(names))):
        if name is not None:
            # A view of a tensor would be saved with its whole storage.
            found[name] = part.clone()
        elif part.any():
            raise UserError(
                f'The biases of keys in {", ".join(filter(None, theirs))} are not zero, but the format has none; '
                'choose another format.'
            )
    if masked:
        mask = torch.ones_like(value)
        mask.chunk(3)[1].zero_()
        return dict(zip(theirs, (value.clone(), mask)))
    return found


def unfold_positions(backbone: dict[str, Tensor], facts: ViTFacts) -> None:
    """Adds a position of zero for the class token to positions of patches only, as timm has them beside registers."""
    positions = backbone['pos_embed']
    if 'register_tokens' in backbone and is_grid(positions.shape[1], facts):
        backbone['pos_embed'] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)


def fold_positions(backbone: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns a backbone with registers whose positions are those of patches only; that of the class token is added."""
    if 'register_tokens' not in backbone or 'pos_embed' not in backbone:
        return backbone
    own, patches = backbone['pos_embed'][:, :1], backbone['pos_embed'][:, 1:]
    return {**backbone, 'cls_token': backbone['cls_token'] + own, 'pos_embed': patches.clone()}


def with_periods(backbone: dict[str, Tensor], facts: ViTFacts) -> dict[str, Tensor]:
    """Returns a backbone with periods if it has rotary positions, but its format has no periods.

    Args:
        backbone: Backbone as in `ViTWeights`.
        facts: Facts that its file states; without a base, the periods are those of DINOv3.

    Raises:
        UserError: The number of heads is unknown.
    """
    if 'pos_embed' in backbone or 'rope.periods' in backbone:
        return backbone
    heads, width = vit_heads(backbone, facts), backbone['cls_token'].shape[-1]
    if heads is None:
        raise UserError(
            f'A ViT of width {width} with rotary positions has no published size, so its number of heads is unknown; '
            'load it with a config (model.backbone.weights).'
        )
    return {**backbone, 'rope.periods': rope_periods(vit_rope_base(backbone, facts), width // heads // 4)}


def is_grid(count: int, facts: ViTFacts) -> bool:
    """Returns whether a number is that of the patches of the stated grid, or else of a square."""
    if facts.grid is not None:
        return count == facts.grid[0] * facts.grid[1]
    return count > 0 and math.isqrt(count) ** 2 == count


def _kind(name: str) -> str:
    return re.sub(r'^layers\.\d+\.', 'layers.#.', name)


def _is_gated(table: Names, state: dict[str, Tensor]) -> bool:
    gated, plain = (
        [theirs for ours, theirs in table.items() if _kind(ours) == f'layers.#.ffn.{part}.weight']
        for part in ('w12', 'layers.0.0')
    )
    if not gated or gated != plain:
        return any(theirs[0] in state for theirs in gated)
    # timm's packed layers have the names of an MLP.
    last = [theirs for ours, theirs in table.items() if _kind(ours) == 'layers.#.ffn.w3.weight']
    shapes = [
        (state[first].shape, state[second].shape)
        for (first,), (second,) in zip(gated, last)
        if first in state and second in state
    ]
    return bool(shapes) and all(len(a) == len(b) == 2 and a[0] == 2 * b[1] for a, b in shapes)
