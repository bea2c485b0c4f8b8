"""Checks of the settings of a vision transformer."""

from collections.abc import Mapping
from typing import Any

from mmpretrain.models import VisionTransformer

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

_KEY = 'model.backbone'
_POSITIONS = ('learned', 'sincos', 'rope')
_ROPE = ('base', 'shift', 'jitter', 'rescale')
_FFN = ('origin', 'swiglu_fused')
_SIZES = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
# mmpretrain's `small` is 768 wide and 8 blocks deep.
_ARCHS = {name: sizes for name, sizes in VisionTransformer.arch_zoo.items() if name not in ('s', 'small')}


def check_settings(vit: Any, given: Mapping[str, Any]) -> dict[str, int]:
    """Checks the settings of a `DenseViT`, and returns its sizes.

    Args:
        vit: The network, for its name in messages.
        given: Arguments of its constructor.

    Raises:
        UserError: A value is out of range, the architecture is unknown, or two settings contradict each other.
    """
    check = Settings(vit, _KEY)
    sizes = _sizes(check, given['arch'])
    check.choice('position', given['position'], _POSITIONS)
    check.block('rope', given['rope'], optional=True, typed=False)
    if given['rope'] is not None and given['position'] != 'rope':
        check.refuse('rope', f"is only used with position='rope', got position={given['position']!r}")
    for key in given['rope'] or ():
        check.choice('rope', key, _ROPE)
    for key in ('mask_token', 'with_cp', 'antialias', 'key_bias', 'qkv_bias'):
        check.flag(key, given.get(key, True))
    check.number('register_tokens', given['register_tokens'], 0, whole=True)
    check.text('weights', given['weights'], optional=True)
    check.number('layer_scale_init_value', given.get('layer_scale_init_value', 0.0), 0)
    check.number('in_channels', given.get('in_channels', 3), 1, whole=True)
    for key in ('drop_path_rate', 'drop_rate'):
        check.number(key, given.get(key, 0.0), 0, below=1)
    for key in ('img_size', 'patch_size'):
        value = given.get(key, 16)
        if isinstance(value, (list, tuple)):
            check.numbers(key, value, 2, minimum=1, whole=True)
            if key == 'patch_size' and value[0] != value[1]:
                check.refuse(key, f'must be one side, or two equal sides, got {value!r}')
        else:
            check.number(key, value, 1, whole=True)
    layers = given.get('layer_cfgs', {})
    if isinstance(layers, (list, tuple)) and len(layers) != sizes['num_layers']:
        check.refuse('layer_cfgs', f'must be a dict or a list of {sizes["num_layers"]} dicts, got {len(layers)}')
    for layer in layers if isinstance(layers, (list, tuple)) else [layers]:
        check.block('layer_cfgs', layer, typed=False)
        check.choice('layer_cfgs.ffn_type', layer.get('ffn_type', 'origin'), _FFN)
    if sizes['embed_dims'] % sizes['num_heads']:
        check.refuse(
            'arch', f'must have embed_dims that num_heads divides, got {sizes["embed_dims"]} and {sizes["num_heads"]}'
        )
    return sizes


def check_divides(size: tuple[int, int], patch: int) -> None:
    """Checks that the patch divides a view.

    Args:
        size: Height and width of the view in pixels.
        patch: Side of the patch in pixels.

    Raises:
        UserError: It does not.
    """
    if size[0] % patch or size[1] % patch:
        raise UserError(
            f'DenseViT: a patch of {patch} pixels does not divide a view of {size[0]} x {size[1]} pixels; '
            f'change the crop size of the data or {_KEY}.patch_size.'
        )


def check_channels(found: int, own: int) -> None:
    """Checks the number of channels of images.

    Args:
        found: Channels of the images.
        own: Input channels of the network.

    Raises:
        UserError: They differ.
    """
    if found != own:
        raise UserError(
            f'DenseViT: images of {found} channels do not fit a network of {own} (config key {_KEY}.in_channels).'
        )


def _sizes(check: Settings, arch: Any) -> dict[str, int]:
    if arch in ('s', 'small'):
        raise UserError(
            "DenseViT: mmpretrain's arch 'small' is 768 wide and 8 blocks deep; ViT-S is "
            f"'deit-small' (config key {_KEY}.arch)."
        )
    if not isinstance(arch, dict):
        return _ARCHS[check.choice('arch', arch, list(_ARCHS))]
    for key in _SIZES:
        check.number(f'arch.{key}', arch.get(key), 1, whole=True)
    return {key: arch[key] for key in _SIZES}
