"""Sinkhorn-Knopp: balanced soft assignments of the samples of all processes."""

import torch
from mmengine.dist import all_reduce
from torch import Tensor


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int, valid: Tensor | None = None) -> Tensor:
    """Returns assignments that distribute the samples of all processes evenly over the prototypes.

    Starting from Q = exp(scores / epsilon), each iteration scales the sum of every prototype over the samples to 1 / K,
    and then the sum of every sample to 1 / N; in the result every sample sums to 1. Sums over samples include all
    processes. Constant factors cancel, so that the code contains neither K nor N.

    Args:
        scores: Similarities to the prototypes, (N, K).
        epsilon: Temperature, above 0.
        iterations: Number of iterations, at least 1.
        valid: 1 for rows to use and 0 for rows to ignore, (N,); None for all rows.

    Returns:
        Q, float32 (N, K); ignored rows are 0.

    Source: SwAV, arXiv 2006.09882, Alg. 1; `MkuuWaUjinga/leopart src/leopart.py` (`distributed_sinkhorn`). mmpretrain's
        `distributed_sinkhorn` reduces over processes only if a row is empty, which is wrong for several processes.
    """
    assignments = (scores.float() / epsilon).exp()
    if valid is not None:
        assignments *= valid[:, None]
    for _ in range(iterations):
        prototypes = assignments.sum(0)
        all_reduce(prototypes)
        assignments /= prototypes
        assignments /= assignments.sum(1, keepdim=True).clamp(min=1e-30)
    return assignments
