"""Properties of a ViT in the `config.json` beside a weight file, as transformers and timm write it."""

import json
from pathlib import Path
from typing import Any

from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats.vit_facts import GELU, QUICK_GELU, grid_of

_NAME, _WEIGHTS = 'config.json', ('model.safetensors', 'pytorch_model.bin')
_ACTIVATIONS = {'gelu': GELU, 'quick_gelu': QUICK_GELU, 'silu': None}


def properties_beside(path: str) -> dict[str, Any]:
    """Returns what the config beside a weight file of the Hugging Face hub states, as `ViTFacts.to_meta`.

    Args:
        path: Weight file. Only the names of the hub, `model.safetensors` and `pytorch_model.bin`, belong to a config.

    Returns:
        Dict of properties; empty without a config, or for another network than a ViT.

    Raises:
        UserError: The config is not a JSON object.
    """
    file = Path(path).with_name(_NAME)
    if Path(path).name not in _WEIGHTS or not file.is_file():
        return {}
    try:
        config = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f'{str(file)!r} cannot be read ({str(error)[:80]}); repair it, or copy it again.') from error
    if not isinstance(config, dict):
        raise UserError(f'{str(file)!r} is not a JSON object; repair it, or copy it again.')
    found = _timm(config) if 'architecture' in config else _transformers(config)
    return {key: value for key, value in found.items() if value is not None}


def _transformers(config: dict[str, Any]) -> dict[str, Any]:
    config = _dict(config, 'vision_config') or config
    theta = config.get('rope_theta', _dict(config, 'rope_parameters').get('rope_theta'))
    activation = config.get('hidden_act')
    return dict(
        num_heads=config.get('num_attention_heads'),
        grid=None if theta else grid_of(config.get('image_size'), config.get('patch_size')),
        rope_base=theta,
        eps=config.get('layer_norm_eps'),
        activation=_ACTIVATIONS.get(activation, activation) if not config.get('use_swiglu_ffn') else None,
    )


def _timm(config: dict[str, Any]) -> dict[str, Any]:
    name, arguments = str(config['architecture']), _dict(config, 'model_args')
    clip = '_clip_' in name
    return dict(
        num_heads=arguments.get('num_heads'),
        grid=grid_of(arguments.get('img_size'), arguments.get('patch_size')),
        rope_base=arguments.get('rope_temperature'),
        activation=(QUICK_GELU if 'quickgelu' in name else GELU) if clip else None,
    )


def _dict(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}
