"""Dense features as small integers, for a page that computes affinities itself."""

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
    """Features z = step * code.

    Attributes:
        codes (np.ndarray): (h, w, K) int8 or int16.
        steps (np.ndarray): (h, w) float32, one step a position.
    """

    codes: np.ndarray
    steps: np.ndarray


def quantize_features(features: Tensor, bits: int = EXACT) -> QuantizedMap:
    """Round a feature map to integers.

    The features are first turned by an orthogonal matrix, which no cosine notices: it leaves no more channels than
    positions, and spreads channels of unusual size, beside which the others would be rounded to nothing.

    Args:
        features: (C, h, w).
        bits: 8 or 16.

    Returns:
        QuantizedMap: K = min(C, h w).

    Raises:
        ValueError: A feature is not a finite number.
    """
    if not features.isfinite().all():
        raise UserError('Explorer: the features hold NaN or infinity; look at another checkpoint.')
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
    """Code a feature map with 8 bits where its error stays within `ALLOWED_ERROR`, else with 16.

    Args:
        features: (C, h, w).

    Returns:
        tuple[QuantizedMap, float]: The code, and its measured error, see :func:`affinity_error`.
    """
    coded = quantize_features(features, SMALL)
    error = affinity_error(features, coded)
    if error > ALLOWED_ERROR:
        coded = quantize_features(features, EXACT)
        error = affinity_error(features, coded)
    return coded, error


def affinity_error(features: Tensor, coded: QuantizedMap) -> float:
    """Largest |difference| of an affinity between any two cells of the enlarged maps, before and after coding.

    Args:
        features: (C, h, w), what was coded.
        coded: Their code.
    """
    here, there = _enlarged(features), _enlarged(dequantize_features(coded))
    blocks = zip(here.split(512), there.split(512))
    return max((a @ here.T - b @ there.T).abs().max().item() for a, b in blocks)


def dequantize_features(coded: QuantizedMap) -> Tensor:
    """Features (K, h, w) float32 with the affinities of those that were coded."""
    return torch.from_numpy(coded.codes * coded.steps[..., None]).permute(2, 0, 1)


def _rotation(channels: int) -> Tensor:
    noise = torch.randn(channels, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.linalg.qr(noise).Q


def _enlarged(features: Tensor) -> Tensor:
    maps = functional.interpolate(features.float().cpu()[None], scale_factor=UPSAMPLE, mode='bilinear')
    return functional.normalize(maps[0].flatten(1), dim=0).T.contiguous()
