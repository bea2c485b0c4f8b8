"""Inputs and weights by formula: the recipes and the tests make the same numbers without a random generator."""

import math
import zlib

import numpy as np
import torch
from torch import Tensor

_SPREAD, _MIX, _WORD = 2654435761, 0x45D9F3B, 0xFFFFFFFF


def tensor(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """Numbers that look random and are exact on every machine, because only integers are mixed.

    value_k = scale * (mix(2654435761 k + crc32(name)) / 2^31 - 1), where mix is two rounds of
    `x ^= x >> 16; x *= 0x45D9F3B` and a last `x ^= x >> 16`, all modulo 2^32.

    Args:
        name: Whatever tells this tensor from others.
        shape: Shape of the result.
        scale: Half the width of the range.

    Returns:
        Float32, spread evenly over [-scale, scale), computed in float64.
    """
    x = (np.arange(math.prod(shape), dtype=np.uint64) * _SPREAD + zlib.crc32(name.encode())) & _WORD
    for _ in range(2):
        x = ((x ^ (x >> 16)) * _MIX) & _WORD
    x ^= x >> 16
    return torch.from_numpy(scale * (x.astype(np.float64) / 2**31 - 1)).float().reshape(shape)


def image(name: str, batch: int, size: int) -> Tensor:
    """Normalized images `(B, 3, size, size)` of mean 0 and variance 1."""
    return tensor(f'image {name}', (batch, 3, size, size), math.sqrt(3))


def weight(owner: str, name: str, shape: tuple[int, ...]) -> Tensor:
    """One parameter under its official name.

    Gains (one-dimensional weights, `weight_g`) lie in 1 +- 0.1, biases in +- 0.1, tokens and positions in +- 0.5, and
    all other weights have variance 1 / fan-in.

    Args:
        owner: `student` or `teacher`; each has its own numbers.
        name: Name in the official state dict.
        shape: Its shape.
    """
    key = f'{owner} {name}'
    if name.endswith('weight_g') or (name.endswith('.weight') and len(shape) == 1):
        return 1 + tensor(key, shape, 0.1)
    if name.endswith('.bias'):
        return tensor(key, shape, 0.1)
    if name.endswith(('cls_token', 'pos_embed', 'masked_embed')):
        return tensor(key, shape, 0.5)
    return tensor(key, shape, math.sqrt(3 / math.prod(shape[1:])))


def weights(owner: str, shapes: dict[str, list[int]], flat_positions: bool = False) -> dict[str, Tensor]:
    """All parameters of a golden file's `weights`.

    Args:
        owner: As in `weight`.
        shapes: Official name to shape.
        flat_positions: Give every patch the position embedding of the first one, so that resizing cannot change it.
    """
    found = {name: weight(owner, name, tuple(shape)) for name, shape in shapes.items()}
    for name in found if flat_positions else ():
        if name.endswith('pos_embed'):
            found[name][:, 1:] = found[name][:, 1:2]
    return found


def cells(name: str, batch: int, side: int, share: float) -> Tensor:
    """Bool masks `(B, side, side)` in which about `share` of all cells are True."""
    return tensor(f'cells {name}', (batch, side, side)) < 2 * share - 1


def to_text(masks: Tensor) -> list[str]:
    """One string a mask, rows of cells divided by blanks: `'0110 1000 0000 0001'`; 1 = True."""
    return [' '.join(''.join(str(int(cell)) for cell in row) for row in mask) for mask in masks]


def from_text(masks: list[str]) -> Tensor:
    """Bool `(B, h, w)` from what `to_text` wrote."""
    return torch.tensor([[[cell == '1' for cell in row] for row in mask.split()] for mask in masks])
