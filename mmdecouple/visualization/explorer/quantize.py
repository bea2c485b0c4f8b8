"""Quantization of dense features to integers, for a page that computes affinities itself."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmdecouple.utils.errors import UserError

SMALL = 8
EXACT = 16
ALLOWED_ERROR = 0.005
UPSAMPLE = 2


class QuantizedMap(NamedTuple):
    """Quantized features z = step * code.

    Attributes:
        codes: int8 or int16 `(h, w, K)`.
        steps: float32 `(h, w)`, one step per position.
    """

    codes: np.ndarray
    steps: np.ndarray


def quantize_features(features: Tensor, bits: int = EXACT) -> QuantizedMap:
    """Rounds a feature map to integers.

    The features are first multiplied by an orthogonal matrix, which preserves all cosines. It reduces the number of
    channels to that of positions, and distributes channels of large magnitude, beside which all others would be rounded
    to zero.

    Args:
        features: Feature map `(C, h, w)`.
        bits: 8 or 16.

    Returns:
        Quantized map with K = min(C, h * w) channels.

    Raises:
        UserError: A feature is not finite.
    """
    if not features.isfinite().all():
        raise UserError('Explorer: the features hold NaN or infinity; choose another checkpoint.')
    height, width = features.shape[1:]
    rows = features.double().flatten(1).T.cpu()
    if rows.shape[1] > rows.shape[0]:
        sizes, vectors = torch.linalg.eigh(rows @ rows.T)
        rows = vectors * sizes.clamp(min=0).sqrt()
    rows = rows @ _rotation(rows.shape[1])
    top = 2 ** (bits - 1) - 1
    steps = (rows.abs().amax(1, keepdim=True) / top).clamp(min=torch.finfo(torch.float32).tiny)
    codes = (rows / steps).round().clamp(-top, top).numpy()
    return QuantizedMap(
        codes.astype(np.int8 if bits == SMALL else np.int16).reshape(height, width, -1),
        steps.numpy().astype(np.float32).reshape(height, width),
    )


def quantize_smallest(features: Tensor) -> tuple[QuantizedMap, float]:
    """Quantizes a feature map with 8 bits if the error does not exceed `ALLOWED_ERROR`, else with 16 bits.

    Args:
        features: Feature map `(C, h, w)`.

    Returns:
        The quantized map, and its measured error, see `affinity_error`.
    """
    coded = quantize_features(features, SMALL)
    error = affinity_error(features, coded)
    if error > ALLOWED_ERROR:
        coded = quantize_features(features, EXACT)
        error = affinity_error(features, coded)
    return coded, error


def affinity_error(features: Tensor, coded: QuantizedMap) -> float:
    """Returns the maximum absolute error of the affinity between any two cells of the enlarged maps.

    Args:
        features: Feature map `(C, h, w)`.
        coded: Its quantized map.
    """
    here, there = _enlarged(features), _enlarged(dequantize_features(coded))
    blocks = zip(here.split(512), there.split(512))
    return max((a @ here.T - b @ there.T).abs().max().item() for a, b in blocks)


def dequantize_features(coded: QuantizedMap) -> Tensor:
    """Returns float32 features `(K, h, w)` with the same affinities as the quantized features."""
    return torch.from_numpy(coded.codes * coded.steps[..., None]).permute(2, 0, 1)


def _rotation(channels: int) -> Tensor:
    noise = torch.randn(channels, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.linalg.qr(noise).Q


def _enlarged(features: Tensor) -> Tensor:
    maps = functional.interpolate(features.float().cpu()[None], scale_factor=UPSAMPLE, mode='bilinear')
    return functional.normalize(maps[0].flatten(1), dim=0).T.contiguous()
