"""Architecture of a ViT, derived from the names and shapes of its tensors."""

import math
from typing import Any

import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError

from .vit_facts import NOTHING, ROPE_BASE, ViTFacts

# Width -> heads of the published sizes: Ti, S, B, L, H, DINOv2's g.
_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1536: 24}
# Width -> heads of DINOv3's H+ and 7B.
_ROPE_HEADS = {1280: 20, 4096: 32}


def vit_depth(backbone: dict[str, Tensor]) -> int:
    """Returns the number of blocks."""
    return sum(key.endswith('.attn.qkv.weight') for key in backbone)


def vit_grid(backbone: dict[str, Tensor], facts: ViTFacts) -> tuple[int, int] | None:
    """Returns height and width of the grid of the position embedding; None with rotary positions.

    Args:
        backbone: Backbone as in `ViTWeights`.
        facts: Facts that its file states; without a grid, that of the position embedding is square.

    Raises:
        UserError: The position embedding is not that of the stated grid, or of a square image.
    """
    if 'pos_embed' not in backbone:
        return None
    patches = backbone['pos_embed'].shape[1] - 1
    grid = facts.grid or (math.isqrt(max(patches, 0)),) * 2
    if grid[0] * grid[1] != patches:
        kind = f'of {grid[0]} x {grid[1]}' if facts.grid else 'square'
        raise UserError(
            f'The position embedding has {patches} patches, which form no {kind} grid; use a file that states its grid.'
        )
    return grid


def vit_heads(backbone: dict[str, Tensor], facts: ViTFacts) -> int | None:
    """Returns the number of heads: the stated one, that of the rotary periods or of the published size, or None."""
    width = backbone['cls_token'].shape[-1]
    if 'rope.periods' in backbone:
        return width // (4 * len(backbone['rope.periods']))
    published = _HEADS if 'pos_embed' in backbone else {**_HEADS, **_ROPE_HEADS}
    return facts.num_heads or published.get(width)


def vit_rope_base(backbone: dict[str, Tensor], facts: ViTFacts) -> float:
    """Returns the base of the periods of rotary positions: the stated one, that of the periods, or DINOv3's 100."""
    periods = backbone.get('rope.periods')
    if facts.rope_base is not None or periods is None or len(periods) < 2:
        return facts.rope_base or ROPE_BASE
    count = len(periods)
    found = float(periods[-1].double() ** (count / (count - 1)))
    # Published periods are rounded to bfloat16.
    rounded = torch.allclose(rope_periods(ROPE_BASE, count), periods.float(), rtol=2**-8)
    return ROPE_BASE if rounded else float(f'{found:.6g}')


def rope_periods(base: float, count: int) -> Tensor:
    """Returns `base ** (k / count)` for k = 0, ..., count - 1, float32."""
    return base ** (torch.arange(count, dtype=torch.float32) / count)


def vit_arch(backbone: dict[str, Tensor], facts: ViTFacts = NOTHING) -> dict[str, Any]:
    """Derives the sizes of a ViT.

    Args:
        backbone: Backbone as in `ViTWeights`.
        facts: Facts that its file states.

    Returns:
        Dict with `embed_dims`, `num_layers`, `feedforward_channels` (of an MLP; for SwiGLU 3/2 of its hidden width) and
        `num_heads` if it is known.
    """
    gated = backbone.get('layers.0.ffn.w3.weight')
    hidden = len(backbone['layers.0.ffn.layers.0.0.weight']) if gated is None else gated.shape[1] * 3 // 2
    sizes = dict(
        embed_dims=backbone['cls_token'].shape[-1], num_layers=vit_depth(backbone), feedforward_channels=hidden
    )
    heads = vit_heads(backbone, facts)
    return sizes if heads is None else {**sizes, 'num_heads': heads}


def vit_settings(
    backbone: dict[str, Tensor], facts: ViTFacts = NOTHING, key_bias: bool | None = None
) -> dict[str, Any]:
    """Derives the arguments of `DenseViT`, except `img_size`, norms, activation, and the values of options of training.

    Args:
        backbone: Backbone as in `ViTWeights`.
        facts: Facts that its file states.
        key_bias: Whether keys have a bias; None for whether rotary keys have one that is not zero. Without rotary
            positions, a bias of keys has no effect.

    Returns:
        Dict with `arch` (see `vit_arch`), `patch_size` in pixels, `in_channels`, `position` (`learned` also for fixed
        embeddings), `register_tokens`, `layer_scale_init_value` (1e-5, or 0 without LayerScale), `qkv_bias`,
        `key_bias`, `layer_cfgs` and `pre_norm`.
    """
    registers, patches = backbone.get('register_tokens'), backbone['patch_embed.projection.weight']
    rotary, biased = 'pos_embed' not in backbone, 'layers.0.attn.qkv.bias' in backbone
    return dict(
        arch=vit_arch(backbone, facts),
        patch_size=patches.shape[-1],
        in_channels=patches.shape[1],
        position='rope' if rotary else 'learned',
        register_tokens=0 if registers is None else registers.shape[1],
        layer_scale_init_value=1e-5 if 'layers.0.attn.gamma1.weight' in backbone else 0.0,
        qkv_bias=biased,
        key_bias=(not rotary or _has_key_bias(backbone)) if key_bias is None else key_bias,
        layer_cfgs=dict(ffn_type='swiglu_fused') if 'layers.0.ffn.w3.weight' in backbone else {},
        pre_norm='pre_norm.weight' in backbone,
    )


def setting_differences(own: dict[str, Any], given: dict[str, Any], known_heads: bool) -> list[str]:
    """Returns the settings of `DenseViT` that a network would need for given weights, as `setting=value`.

    Args:
        own: Settings of the network, as returned by `vit_settings`.
        given: Settings of the weights.
        known_heads: Whether the number of heads of the weights is known, not only that of the published size.
    """
    found, wanted = _flat(own), _flat(given)
    # A bias of zero computes the same as none.
    alike = found['position'] == wanted['position']
    harmless = {key for key in ('qkv_bias', 'key_bias') if alike and found[key] and not wanted[key]}
    if not known_heads:
        harmless.add('arch.num_heads')
    return [
        f'{key}={value!r} (not {found.get(key)!r})'
        for key, value in wanted.items()
        if found.get(key) != value and key not in harmless
    ]


def describe_vit(backbone: dict[str, Tensor]) -> str:
    """Returns a description such as `ViT of 12 blocks, width 384, patch 14, 4 registers, LayerScale`."""
    settings = vit_settings(backbone, key_bias=True)
    sizes, registers = settings['arch'], settings['register_tokens']
    parts = [
        f'ViT of {sizes["num_layers"]} blocks',
        f'width {sizes["embed_dims"]}',
        f'patch {settings["patch_size"]}',
        f'{registers} registers' if registers else '',
        'LayerScale' if settings['layer_scale_init_value'] else '',
        'RoPE' if settings['position'] == 'rope' else '',
        'SwiGLU' if settings['layer_cfgs'] else '',
        f'{settings["in_channels"]} channels' if settings['in_channels'] != 3 else '',
    ]
    return ', '.join(filter(None, parts))


def _has_key_bias(backbone: dict[str, Tensor]) -> bool:
    biases = [value for name, value in backbone.items() if name.endswith('.attn.qkv.bias')]
    return any(bool(bias.chunk(3)[1].any()) for bias in biases)


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    arch, layers = settings.pop('arch'), settings.pop('layer_cfgs')
    return {
        **{f'arch.{key}': value for key, value in arch.items()},
        **settings,
        'layer_cfgs.ffn_type': layers.get('ffn_type', 'origin'),
    }
