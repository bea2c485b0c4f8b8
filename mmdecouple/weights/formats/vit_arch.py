"""Architecture of a ViT, derived from the names and shapes of its tensors."""

import math
from typing import Any

from torch import Tensor

from mmdecouple.utils.errors import UserError

# Width -> heads of the published sizes: Ti, S, B, L, H, DINOv2's g.
_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1536: 24}
# Width -> heads of DINOv3's H+ and 7B.
_ROPE_HEADS = {1280: 20, 4096: 32}


def vit_depth(backbone: dict[str, Tensor]) -> int:
    """Returns the number of blocks."""
    return sum(key.endswith('.attn.qkv.weight') for key in backbone)


def vit_grid(backbone: dict[str, Tensor]) -> int | None:
    """Returns the patches along a side of the learned position embedding; None with rotary positions.

    Raises:
        UserError: The position embedding is not that of a square image.
    """
    if 'pos_embed' not in backbone:
        return None
    patches = backbone['pos_embed'].shape[1] - 1
    grid = math.isqrt(max(patches, 0))
    if grid**2 != patches:
        raise UserError(
            f'The position embedding has {patches} patches, which form no square grid; use a ViT of square images.'
        )
    return grid


def vit_heads(backbone: dict[str, Tensor]) -> int | None:
    """Returns the number of heads: from the periods of rotary positions, or of the published size; None if unknown."""
    width = backbone['cls_token'].shape[-1]
    if 'rope.periods' in backbone:
        return width // (4 * len(backbone['rope.periods']))
    published = _HEADS if 'pos_embed' in backbone else {**_HEADS, **_ROPE_HEADS}
    return published.get(width)


def vit_arch(backbone: dict[str, Tensor]) -> dict[str, Any]:
    """Derives the sizes of a ViT.

    Args:
        backbone: Backbone as in `ViTWeights`.

    Returns:
        Dict with `embed_dims`, `num_layers`, `feedforward_channels` (of an MLP; for SwiGLU 3/2 of its hidden width) and
        `num_heads` if it is known.
    """
    gated = backbone.get('layers.0.ffn.w3.weight')
    hidden = len(backbone['layers.0.ffn.layers.0.0.weight']) if gated is None else gated.shape[1] * 3 // 2
    sizes = dict(
        embed_dims=backbone['cls_token'].shape[-1], num_layers=vit_depth(backbone), feedforward_channels=hidden
    )
    heads = vit_heads(backbone)
    return sizes if heads is None else {**sizes, 'num_heads': heads}


def vit_settings(backbone: dict[str, Tensor]) -> dict[str, Any]:
    """Derives the arguments of `DenseViT`, except `img_size`, norms, activation, and the values of options of training.

    Args:
        backbone: Backbone as in `ViTWeights`.

    Returns:
        Dict with `arch` (see `vit_arch`), `patch_size` in pixels, `in_channels`, `position` (`learned` also for fixed
        embeddings), `register_tokens`, `layer_scale_init_value` (1e-5, or 0 without LayerScale), `qkv_bias`,
        `key_bias`, `layer_cfgs` and `pre_norm`.
    """
    registers, patches = backbone.get('register_tokens'), backbone['patch_embed.projection.weight']
    rotary, biased = 'pos_embed' not in backbone, 'layers.0.attn.qkv.bias' in backbone
    return dict(
        arch=vit_arch(backbone),
        patch_size=patches.shape[-1],
        in_channels=patches.shape[1],
        position='rope' if rotary else 'learned',
        register_tokens=0 if registers is None else registers.shape[1],
        layer_scale_init_value=1e-5 if 'layers.0.attn.gamma1.weight' in backbone else 0.0,
        qkv_bias=biased,
        key_bias=not (rotary and biased),
        layer_cfgs=dict(ffn_type='swiglu_fused') if 'layers.0.ffn.w3.weight' in backbone else {},
        pre_norm='pre_norm.weight' in backbone,
    )


def setting_differences(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """Returns the settings of `DenseViT` that a network would need for given weights, as `setting=value`.

    Args:
        own: State dict of the network.
        given: Backbone as in `ViTWeights`.
    """
    found, wanted = (_flat(vit_settings(state)) for state in (own, given))
    return [
        f'{key}={value!r} (not {found.get(key)!r})'
        for key, value in wanted.items()
        # Without periods, the number of heads is only that of the published size.
        if found.get(key) != value and not (key == 'arch.num_heads' and 'rope.periods' not in given)
    ]


def describe_vit(backbone: dict[str, Tensor]) -> str:
    """Returns a description such as `ViT of 12 blocks, width 384, patch 14, 4 registers, LayerScale`."""
    settings = vit_settings(backbone)
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


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    arch, layers = settings.pop('arch'), settings.pop('layer_cfgs')
    return {
        **{f'arch.{key}': value for key, value in arch.items()},
        **settings,
        'layer_cfgs.ffn_type': layers.get('ffn_type', 'origin'),
    }
