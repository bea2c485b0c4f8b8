"""Standardized principal components and k-means of large numbers of tokens."""

import importlib.util
import warnings

import numpy as np
import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError

CHUNK = 65536
LIBRARIES = ('auto', 'faiss', 'sklearn')


def principal_components(tokens: Tensor, dims: int, device: torch.device | str = 'cpu') -> Tensor:
    """Standardizes the channels of tokens and projects them on their first principal axes.

    Every channel is standardized to mean 0 and (biased) variance 1 over all tokens; a constant channel becomes 0. The
    axes are the eigenvectors of the correlation matrix with the largest eigenvalues, without whitening.

    Args:
        tokens: float32 `(N, C)`; not modified.
        dims: Number of axes, limited to C.
        device: Device on which moments and products are computed chunk by chunk, in float64.

    Returns:
        float32 `(N, min(dims, C))` on the device of `tokens`. The entry of each axis with the largest magnitude is
        positive.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `normalize_and_transform` (faiss `PCAMatrix`).
    """
    mean = sum(chunk.to(device, torch.float64).sum(0) for chunk in tokens.split(CHUNK)) / len(tokens)
    covariance = 0
    for chunk in tokens.split(CHUNK):
        centered = chunk.to(device, torch.float64) - mean
        covariance = covariance + centered.T @ centered / len(tokens)
    deviation = covariance.diagonal().sqrt()
    # The deviation of a constant channel is rounding noise; dividing by it would turn the noise into a feature.
    deviation[deviation <= 1e-7 * mean.abs()] = torch.inf
    axes = torch.linalg.eigh(covariance / deviation / deviation[:, None])[1].flip(1)[:, :dims]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    axes = axes / deviation[:, None]
    return torch.cat([((chunk.to(device, torch.float64) - mean) @ axes).to(tokens) for chunk in tokens.split(CHUNK)])


def choose_library(library: str) -> str:
    """Resolves `auto` to faiss if it is installed and to scikit-learn otherwise.

    Args:
        library: `auto`, `faiss` or `sklearn`.

    Returns:
        `faiss` or `sklearn`.

    Raises:
        UserError: `library` is unknown, or faiss is requested but not installed.
    """
    if library not in LIBRARIES:
        raise UserError(
            f'OverClustering: library must be one of {", ".join(LIBRARIES)}, got {library!r} '
            '(key library of the measure).'
        )
    present = importlib.util.find_spec('faiss') is not None
    if library == 'faiss' and not present:
        raise UserError("OverClustering: faiss is not installed; pip install faiss-cpu, or set library='sklearn'.")
    return 'faiss' if present and library != 'sklearn' else 'sklearn'


def kmeans(
    points: np.ndarray, clusters: int, seed: int, iterations: int, restarts: int, sample: int | None, library: str
) -> np.ndarray:
    """Clusters points by Euclidean k-means, initialized with random points.

    Args:
        points: float32 `(N, D)`.
        clusters: Number of clusters K, at most N.
        seed: Seed of initialization and sample.
        iterations: Maximum number of steps of each restart.
        restarts: Number of runs, of which the one with the smallest squared error is used.
        sample: The centers are fitted to at most `sample` x K random points, as in faiss; None for all points.
        library: `faiss` or `sklearn`.

    Returns:
        int64 `(N,)`, index of the nearest center.

    Raises:
        UserError: There are more clusters than points.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `cluster` (`faiss.Kmeans` samples 256 points a centroid).
    """
    if clusters > len(points):
        raise UserError(
            f'OverClustering: {clusters} clusters require as many tokens, got {len(points)}; use more or '
            'larger images, or fewer clusters (key clusters of the measure).'
        )
    points = np.ascontiguousarray(points, np.float32)
    most = len(points) if sample is None else clusters * sample
    if len(points) > most:
        fitted = points[np.sort(np.random.default_rng(seed).permutation(len(points))[:most])]
    else:
        fitted = points
    if library == 'faiss':
        import faiss

        model = faiss.Kmeans(
            points.shape[1],
            clusters,
            niter=iterations,
            nredo=restarts,
            seed=seed,
            min_points_per_centroid=1,
            max_points_per_centroid=len(fitted),
        )
        model.train(fitted)
        return model.index.search(points, 1)[1][:, 0]
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    model = KMeans(clusters, init='random', n_init=restarts, max_iter=iterations, tol=0, random_state=seed)
    with warnings.catch_warnings():
        # Warns about fewer distinct tokens than clusters, which the measure reports itself.
        warnings.simplefilter('ignore', ConvergenceWarning)
        return model.fit(fitted).predict(points).astype(np.int64)
