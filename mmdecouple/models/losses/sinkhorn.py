"""Sinkhorn-Knopp: scores of many samples over all processes become balanced soft assignments."""

import torch
from mmengine.dist import all_reduce
from torch import Tensor


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int, valid: Tensor | None = None) -> Tensor:
    """Assignments whose prototypes share the samples of all processes evenly.

    Q = exp(scores / epsilon), then `iterations` times: every prototype's sum over samples becomes 1 / K, every sample's
    sum becomes 1 / N; at last every sample sums to 1. The sums over samples are those of all processes. Constant
    factors cancel, so neither K nor N appears.

    Args:
        scores: Similarities to the prototypes, (N, K).
        epsilon: Temperature.
        iterations: Number of rounds.
        valid: 0 for rows that do not take part, as they were not there, (N,); None for all.

    Returns:
        Q, float32, (N, K); rows that do not take part are 0.

    Source: SwAV, arXiv 2006.09882, Alg. 1; `MkuuWaUjinga/leopart src/leopart.py` (`distributed_sinkhorn`). mmpretrain's
        `distributed_sinkhorn` reduces over processes only when a row is empty, which is wrong on several of them.
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
