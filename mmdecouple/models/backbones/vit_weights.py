"""Weights of a file for a vision transformer, with a check of the architecture."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdecouple.utils.errors import MissingFile, UserError
from mmdecouple.weights.formats.vit import ViTWeights, read_vit
from mmdecouple.weights.formats.vit_arch import setting_differences, vit_grid, vit_settings
from mmdecouple.weights.formats.vit_facts import facts_of
from mmdecouple.weights.origins import origin_of

from .vit_blocks import KeylessBias

# Tensors that a file may lack.
_ADDED = ('mask_token', 'rope.periods')


def weights_for(vit: Any, path: str, key: str) -> dict[str, Tensor]:
    """Returns the weights of a file by the names of a network, with positions on its grid.

    A mask token and periods may be missing, and missing biases of queries, keys and values are zero.

    Args:
        vit: The network, a `DenseViT`.
        path: File in any format that `read_vit` supports.
        key: Config key of the path, for messages.

    Raises:
        MissingFile: The file does not exist.
        UserError: The network of the file has another architecture; the message names the settings.
    """
    if not Path(path).is_file():
        raise MissingFile(
            f'DenseViT: the weight file {path!r} does not exist; download it{origin_of(path)} and set the config key '
            f'{key} to its path.'
        )
    weights = read_vit(path)
    differing = differing_settings(vit, weights)
    if differing:
        raise UserError(
            f'DenseViT: {path} does not fit the network; its weights require the settings {", ".join(differing)} of '
            f'the backbone (config key {key}).'
        )
    own, given = vit.state_dict(), dict(weights.backbone)
    if 'pos_embed' in given:
        given['pos_embed'] = positions_for(vit, weights)
    found = {name: given[name] for name in own if name in given}
    for name in own.keys() - found.keys():
        if name.endswith('.attn.qkv.bias'):
            found[name] = torch.zeros(own[name].shape)
        elif name not in _ADDED:
            raise UserError(f'DenseViT: {path} lacks {name} of the network; use a complete file (config key {key}).')
    return found


def differing_settings(vit: Any, weights: ViTWeights) -> list[str]:
    """Returns the settings of a `DenseViT` that differ from those that weights require, as `setting=value`."""
    key_bias = not isinstance(vit.layers[0].attn.qkv, KeylessBias)
    known = facts_of(vit)
    own = vit_settings(vit.state_dict(), known, key_bias)
    wanted = vit_settings(weights.backbone, weights.facts)
    known_heads = weights.facts.num_heads is not None or 'rope.periods' in weights.backbone
    heads = {'arch.num_heads'} if known_heads else set()
    found = setting_differences(own, wanted, known_heads)
    return found + [line for line in weights.facts.differences(known) if line.partition('=')[0] not in heads]


def positions_for(vit: Any, weights: ViTWeights) -> Tensor:
    """Returns the learned positions of weights, (1, 1 + P, C), resized from their grid to that of a `DenseViT`."""
    source, grid = vit_grid(weights.backbone, weights.facts), tuple(vit.patch_resolution)
    positions = weights.backbone['pos_embed']
    return positions if source == grid else vit.resized_positions(positions, source, grid)
