"""Centered kernel alignment of the positions of a region or a view."""

import torch
from torch import Tensor


def kernel_alignment(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns each position's share of the centered kernel alignment (CKA) of two sets of features.

    With linear kernels K = X X^T, centered over the positions of a set, CKA = <K_s, K_t> / (|K_s| |K_t|) in Frobenius
    products and norms. As <K_s, K_t> is a sum over rows, it is split into one value for each position; the mean of
    these values over the n positions of a set is its CKA, in [0, 1] up to rounding, and 1 if one centered set of
    features is a rotated and scaled copy of the other.

    Args:
        student: Features of N sets of P positions, (N, P, C).
        teacher: Features of the same positions, (N, P, C').
        mask: 1 for positions that belong to the set and 0 for others, (N, P); None for all.

    Returns:
        n_s <K_s[i], K_t[i]> / (|K_s| |K_t|) of position i, float32 (N, P); 0 outside the set, and in a set of which the
        student's or the teacher's features are all equal.

    Source: Kornblith et al., arXiv 1905.00414, eq. 1 to 3; PaKA, arXiv 2509.05606.
    """
    mask = torch.ones_like(student[..., 0], dtype=torch.float32) if mask is None else mask
    count = mask.sum(1, keepdim=True)[..., None]
    with torch.autocast(student.device.type, enabled=False):
        first, second = (_kernel(features.float(), mask[..., None], count) for features in (student, teacher))
        shares = (first * second).sum(2)
        # A set without variation has no alignment; the limit also keeps the gradient of its norm finite.
        norms = [kernel.square().sum((1, 2)).clamp(min=1e-20).sqrt() for kernel in (first, second)]
        return count[..., 0] * shares / (norms[0] * norms[1])[:, None]


def _kernel(features: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    centered = (features - (features * mask).sum(1, keepdim=True) / count.clamp(min=1)) * mask
    return centered @ centered.transpose(1, 2)


class AlignedKernels:
    """One minus the centered kernel alignment of each view, on some of its positions.

    Args:
        positions: Indices of the M positions in the flattened (N * P), (M,), in the order of the rows of the features.
        views: N.
        per_view: P.
    """

    linear_in_target = False

    def __init__(self, positions: Tensor, views: int, per_view: int) -> None:
        self.positions, self.shape = positions, (views, per_view)

    def dense_target(self, features: Tensor) -> Tensor:
        """Returns the teacher's features unchanged: (M, C) -> (M, C)."""
        return features

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns each position's share, (M, C), (M, C') -> (M,); its mean over the positions of a view is 1 - CKA."""
        student, target = (self._in_views(features.float()) for features in (student, target))
        mask = self._in_views(student.new_ones(len(self.positions), 1))[..., 0]
        return 1 - kernel_alignment(student, target, mask).flatten()[self.positions]

    def _in_views(self, rows: Tensor) -> Tensor:
        size = self.shape[0] * self.shape[1], rows.shape[1]
        return rows.new_zeros(size).index_copy(0, self.positions, rows).unflatten(0, self.shape)
