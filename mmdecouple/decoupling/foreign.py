"""Spurious positions: features that resemble those of foreign content."""

import torch
import torch.nn.functional as F
from torch import Tensor


def foreign_similarity(own: Tensor, foreign: Tensor) -> Tensor:
    """Returns the largest cosine of each own feature with any foreign feature, in [-1, 1].

    Args:
        own: Features of the N images or crops, not necessarily normalized, (N, P, C).
        foreign: Features of content that does not belong to them, (N, S, C).

    Returns:
        Similarity, (N, P).

    Source: arXiv 2605.19622; `CongpeiQiu/UniRefiner spurious_filtering/fp_gp.py`, `adaptive_register.py`.
    """
    own, foreign = F.normalize(own, dim=2), F.normalize(foreign, dim=2)
    return (own @ foreign.transpose(1, 2)).amax(2)


def is_spurious(similarity: Tensor, threshold: float | Tensor) -> Tensor:
    """Returns whether positions are spurious: those whose similarity reaches the threshold, bool (N, P).

    Args:
        similarity: Result of `foreign_similarity`, (N, P).
        threshold: Fixed cosine, or one for each row, (N, 1), as returned by `relative_threshold`.
    """
    return similarity >= threshold


def relative_threshold(similarity: Tensor, deviations: float) -> Tensor:
    """Returns mean + `deviations` * standard deviation of the similarities of each row: (N, P) -> (N, 1)."""
    spread, mean = torch.std_mean(similarity, dim=1, keepdim=True)
    return mean + deviations * spread
