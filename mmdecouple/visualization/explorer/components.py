"""Maps of principal components: the first three of dense features, as red, green and blue."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

COUNT = 3
RANGE = (0.02, 0.98)


class Components(NamedTuple):
    """Principal components with the range of their colors, in float64.

    Attributes:
        mean: Mean feature `(C,)`.
        axes: Components `(C, 3)` of unit length, the first with the largest variance; zero where the features have
            fewer.
        low: Projection `(3,)` that is drawn as 0.
        high: Projection `(3,)` that is drawn as 255.
    """

    mean: Tensor
    axes: Tensor
    low: Tensor
    high: Tensor


def fit_components(rows: Tensor) -> Components:
    """Computes the first three principal components of features.

    The sign of a component, which is arbitrary, is chosen such that its entry of the largest magnitude is positive. The
    colors range from the 2nd to the 98th percentile of the projections of `rows`.

    Args:
        rows: Features `(n, C)`.
    """
    rows = rows.double().cpu()
    mean = rows.mean(0)
    centered = rows - mean
    if len(rows) < rows.shape[1]:
        values, vectors = torch.linalg.eigh(centered @ centered.T)
        vectors = centered.T @ vectors
    else:
        values, vectors = torch.linalg.eigh(centered.T @ centered)
    count = min(COUNT, len(values))
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    present = values > 1e-12 * values[:1].clamp(min=torch.finfo(torch.float64).tiny)
    axes = torch.zeros(rows.shape[1], COUNT, dtype=torch.float64)
    axes[:, :count] = torch.where(present, torch.nn.functional.normalize(vectors, dim=0), 0)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    axes = axes * torch.where(largest < 0, -1.0, 1.0)
    low, high = np.quantile((centered @ axes).numpy(), RANGE, axis=0)
    return Components(mean, axes, torch.from_numpy(low), torch.from_numpy(high))


def component_colors(features: Tensor, components: Components) -> np.ndarray:
    """Returns the colors of a feature map, uint8 RGB `(h, w, 3)`.

    Args:
        features: Feature map `(C, h, w)`.
        components: Components of this or of other features with C channels.
    """
    projected = (features.double().cpu().permute(1, 2, 0) - components.mean) @ components.axes
    width = (components.high - components.low).clamp(min=torch.finfo(torch.float64).tiny)
    shares = ((projected - components.low) / width).clamp(0, 1)
    return (255 * shares).round().byte().numpy()
