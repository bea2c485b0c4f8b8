"""Removal of the place of a patch from its feature: directions that predict row and column are projected out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mmdecouple.evaluation.object_sources import ObjectSource
from mmdecouple.networks.inference import evaluating

# Penalty of the predictors, as a share of the mean variance of a channel. Without one, they follow directions of hardly
# any variance; with a large one, the covariance with the place, in which content has its part.
_PENALTY = 0.01


@dataclass
class Moments:
    """Sums over the cells of images: number, features with places appended, and their products, in float64.

    Args:
        count: Number of cells.
        total: Sum of z, `(C + 2,)`, where z is a feature followed by row and column.
        product: Sum of z z^T, `(C + 2, C + 2)`.
    """

    count: int = 0
    total: np.ndarray | float = 0.0
    product: np.ndarray | float = 0.0

    def add(self, features: np.ndarray) -> None:
        """Adds a dense map `(C, h, w)`; places are numbers of cells."""
        rows = features.reshape(len(features), -1).T.astype(np.float64)
        places = np.stack(np.divmod(np.arange(len(rows)), features.shape[2]), 1)
        both = np.concatenate([rows, places], 1)
        self.count += len(both)
        self.total = self.total + both.sum(0)
        self.product = self.product + both.T @ both

    def covariance(self) -> np.ndarray:
        """Returns the covariance of z, `(C + 2, C + 2)`."""
        center = self.total / self.count
        return self.product / self.count - np.outer(center, center)

    def varies(self) -> bool:
        """Returns whether the features differ by more than the rounding of float32."""
        square = np.trace(self.product[:-2, :-2]) / self.count
        return bool(np.trace(self.covariance()[:-2, :-2]) > (10 * np.finfo(np.float32).eps) ** 2 * square)


def predictors(moments: Moments, basis: np.ndarray) -> np.ndarray:
    """Returns the weights of the ridge regression of row and column, `(C, 2)`, from features without a subspace.

    Args:
        moments: Moments of the features.
        basis: Orthonormal basis of the subspace, `(C, k)`.
    """
    covariance = moments.covariance()
    rest = np.eye(len(basis)) - basis @ basis.T
    features, places = rest @ covariance[:-2, :-2] @ rest, rest @ covariance[:-2, -2:]
    penalty = _PENALTY * np.trace(covariance[:-2, :-2]) / len(basis)
    return rest @ np.linalg.solve(features + penalty * np.eye(len(basis)), places)


def removed_subspaces(moments: Moments, iterations: int) -> list[np.ndarray]:
    """Returns the subspace that is removed after each iteration.

    In each iteration, row and column are regressed on the features without the directions that are already removed,
    and the directions of the two predictors are added.

    Args:
        moments: Moments of the features.
        iterations: Number of iterations, at least 1.

    Returns:
        Orthonormal basis float64 `(C, k)` of each iteration, where k is twice its number, unless no further direction
        predicts the place; every basis begins with the one before it.

    Source: RASA (*Franca*, arXiv 2507.14137): linear predictors of the position are learned one after another, and
        their directions are projected out. There they are learned by gradient descent, here they are regressions.
    """
    basis, found = np.zeros((moments.covariance().shape[0] - 2, 0)), []
    for _ in range(iterations):
        # Orthogonal to the basis up to rounding, which one more projection removes.
        weights = predictors(moments, basis)
        weights -= basis @ (basis.T @ weights)
        directions, strength, _ = np.linalg.svd(weights, full_matrices=False)
        basis = np.concatenate([basis, directions[:, strength > 1e-9 * max(strength[0], 1e-300)]], axis=1)
        found.append(basis)
    return found


def place_read(fit: Moments, other: Moments, basis: np.ndarray) -> float:
    """Returns R^2 of row and column on other images, predicted from features without a subspace.

    Args:
        fit: Moments of the images on which the predictors are fitted.
        other: Moments of the other images.
        basis: Orthonormal basis of the subspace, `(C, k)`.

    Returns:
        Mean R^2 of row and column, at most 1.
    """
    weights = predictors(fit, basis)
    center = fit.total / fit.count
    covariance, shift = other.covariance(), other.total / other.count - center
    errors = np.concatenate([weights, -np.eye(2)])
    squares = np.diag(errors.T @ (covariance + np.outer(shift, shift)) @ errors)
    return float(np.mean(1 - squares / np.diag(covariance)[-2:]))


def kept_variance(moments: Moments, basis: np.ndarray) -> float:
    """Returns the share of the variance of the features that remains without a subspace with basis `(C, k)`."""
    features = moments.covariance()[:-2, :-2]
    return float(1 - np.trace(basis.T @ features @ basis) / np.trace(features))


def read_moments(
    model: nn.Module,
    source: ObjectSource,
    parts: Sequence[Iterable[int]],
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> list[Moments]:
    """Shows images to a network and returns the moments of each part of them.

    Args:
        model: Module with `data_preprocessor` and `dense_features`, such as any algorithm of this package.
        source: Images.
        parts: Image ids of each part.
        batch_size: Images per batch.
        progress: Called with (images done, total images).
    """
    shown = [(part, image) for part, images in enumerate(parts) for image in images]
    found = [Moments() for _ in parts]
    with evaluating(model), torch.no_grad():
        for start in range(0, len(shown), batch_size):
            batch = shown[start : start + batch_size]
            pixels = [torch.from_numpy(source.pixels(image).copy()).permute(2, 0, 1) for _, image in batch]
            maps = model.dense_features(torch.stack(list(model.data_preprocessor(dict(inputs=pixels))['inputs'])))
            for (part, _), dense in zip(batch, maps.cpu().numpy()):
                found[part].add(dense)
            if progress is not None:
                progress(start + len(batch), len(shown))
    return found
