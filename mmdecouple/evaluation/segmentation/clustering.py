"""Standardized principal components and k-means of very many tokens."""

import importlib.util
import warnings

import numpy as np
import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError

CHUNK = 65536
LIBRARIES = ('auto', 'faiss', 'sklearn')


def principal_components(tokens: Tensor, dims: int, device: torch.device | str = 'cpu') -> Tensor:
    """Tokens standardized channel by channel, on their first principal axes.

    Every channel gets mean 0 and (biased) variance 1 over all tokens; a constant channel becomes 0. The axes are the
    eigenvectors of the correlation matrix with the largest eigenvalues, without whitening.

    Args:
        tokens: float32 (N, C); not changed.
        dims: Number of axes; at most C are there.
        device: Where moments and products are computed, chunk by chunk, moments in float64.

    Returns:
        float32 (N, min(dims, C)) on the device of `tokens`. The largest entry of each axis is positive.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `normalize_and_transform` (faiss `PCAMatrix`).
    """
    mean = sum(chunk.to(device, torch.float64).sum(0) for chunk in tokens.split(CHUNK)) / len(tokens)
    covariance = 0
    for chunk in tokens.split(CHUNK):
        centered = chunk.to(device, torch.float64) - mean
        covariance = covariance + centered.T @ centered / len(tokens)
    deviation = covariance.diagonal().sqrt()
    # What rounding leaves of a constant channel is noise: divided by its own deviation it would become a feature.
    deviation[deviation <= 1e-7 * mean.abs()] = torch.inf
    axes = torch.linalg.eigh(covariance / deviation / deviation[:, None])[1].flip(1)[:, :dims]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    axes = axes / deviation[:, None]
    return torch.cat([((chunk.to(device, torch.float64) - mean) @ axes).to(tokens) for chunk in tokens.split(CHUNK)])


def choose_library(library: str) -> str:
    """`faiss` or `sklearn`: what `auto` means here, or what was asked for.

    Raises:
        ValueError: Another word, or faiss where it is not installed.
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
    """Euclidean k-means from random points: the cluster of every point.

    Args:
        points: float32 (N, D).
        clusters: Number of clusters, at most N.
        seed: Of starts and sample.
        iterations: Most steps of each restart.
        restarts: Runs of which the one with the smallest squared error is kept.
        sample: Points for each cluster that the centers are fitted to at most, as faiss does; None: all.
        library: `faiss` or `sklearn`.

    Returns:
        int64 (N,) index of the nearest center.

    Raises:
        ValueError: More clusters than points.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `cluster` (`faiss.Kmeans` samples 256 points a centroid).
    """
    if clusters > len(points):
        raise UserError(
            f'OverClustering: {clusters} clusters need as many tokens, got {len(points)}; use more or '
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
        # Fewer distinct tokens than clusters: the measure counts the clusters in use itself.
        warnings.simplefilter('ignore', ConvergenceWarning)
        return model.fit(fitted).predict(points).astype(np.int64)
