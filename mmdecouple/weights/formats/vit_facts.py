"""Properties of a ViT that its tensors do not hold, as far as a file states them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

from mmdecouple.utils.errors import UserError, shown
from mmdecouple.weights.stored_configs import plain_values

from .roles import Pair

GELU, QUICK_GELU = 'GELU', 'QuickGELU'
# DINOv3's base of the rotary periods.
ROPE_BASE = 100.0
# Key of the facts in the `meta` of a file.
KEY = 'vit'
_LARGEST = 1 << 14
# Width -> heads of `facebookresearch/moco-v3 vits.py`; its ViT-S has 12.
_MOCOV3_HEADS = {384: 12, 768: 12}


@dataclass(frozen=True)
class ViTFacts:
    """Properties of a ViT; None for those that a file does not state.

    Attributes:
        num_heads: Number of heads.
        grid: Height and width of the patch grid of learned positions.
        rope_base: Base of the periods of rotary positions.
        eps: Eps of the norms.
        activation: Name of the class of the activation, such as `GELU` or `QuickGELU`; None also for SwiGLU.
    """

    num_heads: int | None = None
    grid: tuple[int, int] | None = None
    rope_base: float | None = None
    eps: float | None = None
    activation: str | None = None

    def to_meta(self) -> dict[str, Any]:
        """Returns the facts as plain values, for the `meta` of a file."""
        return {key: list(value) if key == 'grid' else value for key, value in asdict(self).items() if value}

    def differences(self, network: 'ViTFacts') -> list[str]:
        """Returns the settings that a network would need for these facts, as `setting=value (not value)`.

        The grid is left out, because positions are resized, and the eps of the norms, whose effect is that of rounding.

        Args:
            network: Facts of the network; None is never a difference.
        """
        found = []
        for key, name in _SETTINGS.items():
            wanted, held = getattr(self, key), getattr(network, key)
            if None not in (wanted, held) and wanted != held:
                found.append(f'{name}={wanted!r} (not {held!r})')
        return found


NOTHING = ViTFacts()
_SETTINGS = {'num_heads': 'arch.num_heads', 'rope_base': 'rope.base', 'activation': 'layer_cfgs.act_cfg.type'}


def stated_facts(content: Mapping[str, Any], where: str) -> ViTFacts:
    """Returns the facts that a file states in its `meta`: in the config of its run, or as `ViTFacts.to_meta`.

    Args:
        content: Content of the file.
        where: Name of the file in messages.

    Raises:
        UserError: A fact is not a value that it can have.
    """
    meta = content.get('meta')
    if not isinstance(meta, dict):
        return NOTHING
    if KEY in meta:
        given = meta[KEY]
        if not isinstance(given, dict) or not set(given) <= set(_VALID):
            raise UserError(f'{where}: {shown(given)} are not properties of a ViT; use the original file.')
        for key, value in given.items():
            if not _VALID[key](value):
                raise UserError(f'{where}: the {key} of a ViT cannot be {shown(value)}; use the original file.')
    else:
        try:
            found = _of_config(plain_values(meta['cfg'], ('model',))['model']['backbone'])
        except (KeyError, TypeError, ValueError, AttributeError):
            # A config in another form, or of another program.
            return NOTHING
        given = {key: value for key, value in found.items() if _VALID[key](value)}
    grid = given.get('grid')
    return ViTFacts(**{**given, 'grid': None if grid is None else tuple(grid)})


def known_facts(stated: ViTFacts, format: str, pair: Pair | None, backbone: dict[str, Tensor]) -> ViTFacts:
    """Returns stated facts with those that follow from the format of a file: heads of MoCo v3, eps, activation of CLIP.

    Args:
        stated: Facts that the file states.
        format: Format of the file.
        pair: Names of its networks, see `Held`.
        backbone: Its backbone, with own names.
    """
    heads = stated.num_heads
    if heads is None and pair is not None and pair.teacher == 'momentum_encoder':
        heads = _MOCOV3_HEADS.get(backbone['cls_token'].shape[-1])
    scaled = 'layers.0.attn.gamma1.weight' in backbone
    eps = 1e-6
    if format == 'clip' or 'pre_norm.weight' in backbone or 'pos_embed' not in backbone:
        eps = 1e-5
    elif format == 'huggingface' and not scaled:
        eps = 1e-12
    activation = stated.activation or (QUICK_GELU if format == 'clip' else None)
    return replace(stated, num_heads=heads, eps=stated.eps or eps, activation=activation)


def facts_of(vit: Any) -> ViTFacts:
    """Returns the facts of a `DenseViT`; none for another network."""
    if not isinstance(vit, VisionTransformer):
        return NOTHING
    layer, rope = vit.layers[0], getattr(vit, 'rope', None)
    return ViTFacts(
        layer.attn.num_heads,
        None if vit.pos_embed is None else tuple(vit.patch_resolution),
        None if rope is None else float(rope.base),
        layer.ln1.eps,
        None if hasattr(layer.ffn, 'w3') else type(layer.ffn.layers[0][1]).__name__,
    )


def has_part(vit: Any, setting: str) -> bool:
    """Returns whether a ViT has the part of a setting: `key_bias`, `qkv_bias` or `pre_norm`."""
    if setting == 'pre_norm':
        return not isinstance(vit.pre_norm, nn.Identity)
    projection = vit.layers[0].attn.qkv
    # The projection without biases of keys is a class of its own, which pads the others with zeros.
    return projection.bias is not None and not (setting == 'key_bias' and hasattr(projection, 'used_bias'))


def _of_config(backbone: dict[str, Any]) -> dict[str, Any]:
    arch, layers, rope = (backbone.get(key) or {} for key in ('arch', 'layer_cfgs', 'rope'))
    sizes = arch if isinstance(arch, dict) else VisionTransformer.arch_zoo.get(arch, {})
    rotary = backbone.get('position') == 'rope'
    size = backbone.get('img_size', 224)
    plain = isinstance(layers, dict) and layers.get('ffn_type', 'origin') == 'origin'
    return dict(
        num_heads=sizes.get('num_heads'),
        grid=None if rotary else grid_of(size, backbone.get('patch_size', 16)),
        rope_base=rope.get('base', ROPE_BASE) if rotary else None,
        eps=(backbone.get('norm_cfg') or {}).get('eps', 1e-6),
        activation=(layers.get('act_cfg') or {}).get('type', GELU).rpartition('.')[2] if plain else None,
    )


def grid_of(size: Any, patch: Any) -> tuple[int, int] | None:
    """Returns the patch grid of an image, from its side or its height and width; None for other values."""
    sides = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
    if len(sides) != 2 or not all(_is_count(value) for value in (*sides, patch)):
        return None
    return sides[0] // patch, sides[1] // patch


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0


_VALID: dict[str, Callable[[Any], bool]] = {
    'num_heads': _is_count,
    'grid': lambda value: isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_count, value)),
    'rope_base': _is_positive,
    'eps': _is_positive,
    'activation': lambda value: isinstance(value, str) and value.isidentifier(),
}
