"""Configs with which transformers and timm build a ViT of this package."""

from typing import Any

import torch
from torch import nn

from mmdecouple.models import DenseViT
from mmdecouple.models.backbones.vit_blocks import SwiGLU
from mmdecouple.utils.errors import UserError

# Width of a ViT -> timm's ViT of this size; the sizes are written beside the name.
_TIMM_VITS = {192: 'tiny', 384: 'small', 768: 'base', 1024: 'large', 1280: 'huge'}
_ACTIVATIONS = {'GELU': 'gelu', 'QuickGELU': 'quick_gelu'}
_OTHER_FORMAT = 'use another format (--to huggingface, onnx)'


def huggingface_vit(backbone: DenseViT) -> dict[str, Any]:
    """Returns the config of `ViTModel`, `Dinov2Model`, `Dinov2WithRegistersModel` or `DINOv3ViTModel`.

    Raises:
        UserError: transformers has no such network.
    """
    width, hidden, heads = vit_sizes(backbone)
    biased, registers = backbone.layers[0].attn.qkv.bias is not None, backbone.num_extra_tokens - 1
    config = dict(
        hidden_size=width,
        num_hidden_layers=len(backbone.layers),
        num_attention_heads=heads,
        layer_norm_eps=backbone.layers[0].ln1.eps,
        image_size=list(backbone.img_size),
        patch_size=backbone.stride,
        num_channels=backbone.patch_embed.projection.in_channels,
    )
    if backbone.rope is not None:
        return {**config, **_dinov3(backbone, hidden, biased)}
    if is_scaled(backbone):
        kind = ('Dinov2Model', 'dinov2') if not registers else ('Dinov2WithRegistersModel', 'dinov2_with_registers')
        return dict(
            config,
            architectures=kind[:1],
            model_type=kind[1],
            mlp_ratio=_whole_ratio(backbone, width, hidden),
            hidden_act='gelu' if is_gated(backbone) else _activation(backbone),
            use_swiglu_ffn=is_gated(backbone),
            qkv_bias=biased,
            **(dict(num_register_tokens=registers) if registers else {}),
        )
    return dict(
        config,
        architectures=['ViTModel'],
        model_type='vit',
        intermediate_size=hidden,
        hidden_act=_activation(backbone),
        qkv_bias=biased,
    )


def timm_vit(backbone: DenseViT) -> tuple[str, dict[str, Any]]:
    """Returns the name of the network of timm with the functions of a ViT, and the arguments for its sizes.

    Raises:
        UserError: timm has no such network.
    """
    width, hidden, heads = vit_sizes(backbone)
    arguments = dict(
        img_size=list(backbone.img_size),
        patch_size=backbone.stride,
        embed_dim=width,
        depth=len(backbone.layers),
        num_heads=heads,
        mlp_ratio=hidden / width,
        dynamic_img_size=True,
    )
    channels, registers = backbone.patch_embed.projection.in_channels, backbone.num_extra_tokens - 1
    if channels != 3:
        arguments['in_chans'] = channels
    if backbone.layers[0].attn.qkv.bias is None:
        arguments['qkv_bias'] = False
    if backbone.rope is not None:
        _check_functions(backbone, 'DINOv3s', 1e-5, 'gelu')
        arguments |= dict(num_reg_tokens=registers, rope_temperature=backbone.rope.base, swiglu_mlp=is_gated(backbone))
        arguments |= dict(swiglu_align_to=8) if is_gated(backbone) else {}
        return 'vit_small_patch16_dinov3_qkvb', {**arguments, 'init_values': 1e-5 if is_scaled(backbone) else None}
    if is_scaled(backbone) or registers or is_gated(backbone):
        _check_functions(backbone, 'DINOv2s', 1e-6, 'gelu')
        if is_gated(backbone):
            # The packed layer holds gate and value.
            arguments['mlp_ratio'] = 2 * hidden / width
        arguments |= dict(reg_tokens=registers, no_embed_class=registers > 0)
        name = f'vit_{"giant" if is_gated(backbone) else "small"}_patch14_dinov2'
        return name, {**arguments, 'init_values': 1e-5 if is_scaled(backbone) else None}
    clip = not isinstance(backbone.pre_norm, nn.Identity)
    _check_functions(backbone, 'CLIP ViTs' if clip else 'ViTs', *((1e-5, 'quick_gelu') if clip else (1e-6, 'gelu')))
    size = _TIMM_VITS.get(width, 'base')
    plain = f'vit_{size}_patch{14 if size == "huge" else 16}_224'
    return 'vit_base_patch16_clip_quickgelu_224' if clip else plain, arguments


def differing_functions(backbone: DenseViT, timm: bool) -> str:
    """Returns a sentence about what the other library computes differently from the same tensors; empty if nothing."""
    if backbone.rope is not None:
        count = len(backbone.rope.periods)
        computed = backbone.rope.base ** (torch.arange(count, dtype=torch.float32) / count)
        if torch.allclose(computed, backbone.rope.periods.float().cpu(), rtol=1e-6):
            return ''
        return ' The periods of its rotary positions are computed in float32, those of the original file are rounded.'
    filtered = timm or (is_scaled(backbone) and backbone.num_extra_tokens > 1)
    if filtered == backbone.antialias:
        return ''
    return (
        f' {"timm" if timm else "transformers"} resamples position embeddings {"with" if filtered else "without"} '
        'antialiasing: images of another size than that of the config have slightly other features than in mmdecouple.'
    )


def vit_sizes(backbone: DenseViT) -> tuple[int, int, int]:
    """Returns width, hidden width of the blocks and number of heads."""
    layer = backbone.layers[0]
    hidden = layer.ffn.w3.in_features if is_gated(backbone) else layer.ffn.layers[0][0].out_features
    return backbone.embed_dims, hidden, layer.attn.num_heads


def is_gated(backbone: DenseViT) -> bool:
    """Returns whether the feed-forward networks are SwiGLUs."""
    return isinstance(backbone.layers[0].ffn, SwiGLU)


def is_scaled(backbone: DenseViT) -> bool:
    """Returns whether the blocks have LayerScale."""
    return not isinstance(backbone.layers[0].attn.gamma1, nn.Identity)


def _dinov3(backbone: DenseViT, hidden: int, biased: bool) -> dict[str, Any]:
    """Returns the part of the config of `DINOv3ViTModel` that other ViTs lack."""
    gated, rope = is_gated(backbone), backbone.rope
    return dict(
        architectures=['DINOv3ViTModel'],
        model_type='dinov3_vit',
        intermediate_size=hidden,
        hidden_act='silu' if gated else _activation(backbone),
        use_gated_mlp=gated,
        num_register_tokens=backbone.num_extra_tokens - 1,
        rope_theta=rope.base,
        pos_embed_shift=rope.shift,
        pos_embed_jitter=rope.jitter,
        pos_embed_rescale=rope.rescale,
        query_bias=biased,
        key_bias=False,
        value_bias=biased,
    )


def _whole_ratio(backbone: DenseViT, width: int, hidden: int) -> int:
    """Returns the ratio from which transformers computes the hidden width of DINOv2."""
    wide = backbone.arch_settings['feedforward_channels'] if is_gated(backbone) else hidden
    if wide % width:
        raise UserError(
            f"The hidden width of transformers' DINOv2s is a multiple of the width {width}, but this one has {wide}; "
            'use another format (--to timm, onnx).'
        )
    return wide // width


def _check_functions(backbone: DenseViT, kind: str, eps: float, activation: str) -> None:
    found = backbone.layers[0].ln1.eps, activation if is_gated(backbone) else _activation(backbone)
    if found != (eps, activation):
        raise UserError(
            f"timm's {kind} have norms with eps {eps} and {activation}, but this one {found[0]} and {found[1]}; "
            f'{_OTHER_FORMAT}.'
        )


def _activation(backbone: DenseViT) -> str:
    kind = type(backbone.layers[0].ffn.layers[0][1]).__name__
    if kind not in _ACTIVATIONS:
        raise UserError(f'a ViT with the activation {kind} has no counterpart; use another format (--to onnx).')
    return _ACTIVATIONS[kind]
