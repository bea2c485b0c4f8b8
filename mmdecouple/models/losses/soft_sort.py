"""Differentiable sorting by a bitonic network, and the loss that compares orders of neighbors."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def bitonic_layers(wires: int) -> tuple[Tensor, Tensor]:
    """Returns the layers of a bitonic network for any number of wires.

    A number that is no power of two is embedded in the next one: its wires are the last ones, and comparators with a
    missing wire are left out. For some numbers, the result does not sort; see `is_sorting`.

    Args:
        wires: Number n of values to sort, at least 2.

    Returns:
        For each of the L = k (k + 1) / 2 layers, k = ceil(log2 n): the other wire of each wire's comparator, or the
        wire itself, int64 (L, n); and 1 where the wire gets the smaller value, -1 where it gets the larger one, (L, n).

    Source: Batcher (1968); the layout of the wires is that of `Felix-Petersen/diffsort diffsort/networks.py` (MIT).
    """
    blocks = math.ceil(math.log2(wires))
    first = 2**blocks - wires
    wire, others, signs = torch.arange(first, 2**blocks), [], []
    for block in range(blocks):
        for distance in (2**layer for layer in reversed(range(block + 1))):
            other = wire ^ distance
            smaller = ((wire & distance) == 0) ^ ((wire >> (block + 1)) & 1).bool()
            others.append(torch.where(other < first, wire, other) - first)
            signs.append(torch.where(smaller, 1.0, -1.0))
    return torch.stack(others), torch.stack(signs)


def is_sorting(wires: int) -> bool:
    """Returns whether the bitonic network of a number of wires sorts 64 orders, drawn with a fixed seed.

    It sorts powers of two and, among others, 9, 25, 36 and 49 values, but not 22, 38 or 42, of which it leaves at least
    a third of all orders unsorted.
    """
    # A network may be built on the meta device, which has no values.
    with torch.device('cpu'):
        values = torch.rand(64, wires, generator=torch.Generator().manual_seed(0)).argsort(1)
        for other, sign in zip(*bitonic_layers(wires)):
            partner = values[:, other]
            values = torch.where(sign > 0, torch.minimum(values, partner), torch.maximum(values, partner))
        return bool((values == torch.arange(wires)).all())


class SoftSort(nn.Module):
    """Relaxed permutation matrices that sort values in ascending order.

    A comparator of wires with values a and b keeps a share 1/2 + atan(s (b - a)) / pi of a on the wire of the smaller
    value and takes the rest from b (the Cauchy relaxation); the wire of the larger value gets the opposite shares.

    Args:
        size: Number n of values, at least 2, which the network sorts (`is_sorting`).
        steepness: s, above 0; for s to infinity, the matrices become permutations.

    Source: Petersen et al., "Monotonic Differentiable Sorting Networks" (arXiv 2203.09630), section 3.
    """

    def __init__(self, size: int, steepness: float) -> None:
        super().__init__()
        self.steepness = steepness
        others, signs = bitonic_layers(size)
        self.register_buffer('others', others, persistent=False)
        self.register_buffer('signs', signs, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Returns doubly stochastic matrices of the type of the values: (..., n) -> (..., n, n).

        Entry (i, j) is the share of value i at rank j, so that `values[..., None, :] @ matrix` is the sorted vector.
        """
        # Ranks come first, so that a layer moves whole rows.
        by_rank = torch.eye(values.shape[-1], dtype=values.dtype, device=values.device)
        by_rank = by_rank.expand(*values.shape[:-1], -1, -1)
        for other, sign in zip(self.others, self.signs):
            partner = values.index_select(-1, other)
            kept = 0.5 + torch.atan(self.steepness * sign * (partner - values)) / math.pi
            values = torch.lerp(partner, values, kept)
            by_rank = torch.lerp(by_rank.index_select(-2, other), by_rank, kept[..., None])
        return by_rank.transpose(-1, -2)


class NeighborOrder:
    """Cross-entropy between the orders in which a student's and a teacher's feature sort the same references.

    The references are sorted by their cosine to a feature. The loss is -1/R sum_i sum_j Q_ij log P_ij with the relaxed
    permutation matrices P of the student and Q of the teacher, of reference i and rank j.

    Args:
        references: Features of R references, (..., R, C); no gradient flows to them.
        sort: Sort of R values, for student and teacher.

    Source: NeCo, arXiv 2408.11054; `vpariza/NeCo src/neco.py` (`compute_knn_perm_mat`, `compute_knn_subloss`).
    """

    linear_in_target = True

    def __init__(self, references: Tensor, sort: SoftSort) -> None:
        self.references, self.sort = F.normalize(references.detach().float(), dim=-1), sort

    @torch.no_grad()
    def dense_target(self, features: Tensor) -> Tensor:
        """Returns the teacher's flattened permutation matrices: (..., M, C) -> float32 (..., M, R * R)."""
        return self._order(features)

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of matched features: (..., M, C), (..., M, R * R) -> (..., M)."""
        order = self._order(student)
        log = order.clamp(min=torch.finfo(order.dtype).tiny).log()
        return -(target * log).sum(-1) / self.references.shape[-2]

    def _order(self, features: Tensor) -> Tensor:
        # In half precision, cosines differ by steps that a steep sort turns into jumps.
        with torch.autocast(features.device.type, enabled=False):
            cosine = F.normalize(features.float(), dim=-1) @ self.references.transpose(-1, -2)
            return self.sort(cosine).flatten(-2)
