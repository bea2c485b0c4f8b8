"""How dense features of a decoupled view are paired with those of its clean key view.

Every alignment takes student features (D, P, C), the teacher's features (D, P, C') of the same positions, where the
foreground is, and what the method says about a pair of positions; it returns L_DC, the mean over the D decoupled
views of one value a view. A view without foreground counts as zero; with no foreground at all the result is a zero
that is still attached to the graph.
"""
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class DenseObjective(Protocol):
    """A method's own dense loss, for features of matched positions.

    Attributes:
        linear_in_target: Whether the loss of several targets is the loss of their mean, as for a cross-entropy.
    """
    linear_in_target: bool

    def dense_target(self, features: Tensor) -> Tensor:
        """What the loss compares with, from the teacher's features: (M, C') -> (M, T)."""

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Loss of matched positions: (M, C), (M, T) -> (M,)."""


class Foreground(NamedTuple):
    """Where the decoupling loss lives.

    Attributes:
        share: F as 0 and 1, (D, P).
        positions: Indices of the foreground in the flattened (D * P), ascending, (M,). Their number is known without
            asking the device.
        weight: Weight of each position in L_DC, 0 outside of the foreground, (D, P): by default 1 / (D |F_d|), the mean
            over a view and then over views.
        most: Largest number of foreground positions of one view.
    """
    share: Tensor
    positions: Tensor
    weight: Tensor
    most: int

    @classmethod
    def of(cls, share: Tensor) -> 'Foreground':
        """From F on the CPU, (D, P)."""
        weight = share / share.sum(1, keepdim=True).clamp(min=1) / len(share)
        return cls(share, share.flatten().nonzero().flatten(), weight, int(share.sum(1).max()))

    def to(self, device: torch.device) -> 'Foreground':
        """On the device, without waiting for it."""
        return Foreground(*(part.to(device, non_blocking=True) for part in self[:3]), self.most)

    def select(self, values: Tensor) -> Tensor:
        """Values of the foreground positions: (D, P, ...) -> (M, ...)."""
        return values.flatten(0, 1)[self.positions]


def point_to_point(student: Tensor, target: Tensor, foreground: Foreground, objective: DenseObjective) -> Tensor:
    """1 / |F| sum_{j in F} loss(student_j, target_j): the paper's choice (eq. 6, "p-p" in Table 5)."""
    value = objective.dense_loss(foreground.select(student), objective.dense_target(foreground.select(target)))
    return (value * foreground.select(foreground.weight)).sum()


def average(student: Tensor, target: Tensor, foreground: Foreground, objective: DenseObjective) -> Tensor:
    """loss(mean of the student over F, mean of the target over F): InsLoc's rule ("avg" in Tables 5 and 11)."""
    inside, of_view = _normalized(foreground)
    pooled, pooled_target = (torch.bmm(inside[:, None].to(x.dtype), x)[:, 0] for x in (student, target))
    return (objective.dense_loss(pooled, objective.dense_target(pooled_target)) * of_view).sum()


def point_to_all(student: Tensor, target: Tensor, foreground: Foreground, objective: DenseObjective) -> Tensor:
    """1 / |F|^2 sum_{i, j in F} loss(student_i, target_j): CP2's rule ("p-a" in Tables 5 and 11)."""
    views, positions, _ = student.shape
    inside, _ = _normalized(foreground)
    if objective.linear_in_target:
        owner = foreground.positions // positions
        view = torch.arange(views, device=owner.device)[:, None]
        share = (owner == view) * foreground.select(inside)
        targets = objective.dense_target(foreground.select(target))
        value = objective.dense_loss(foreground.select(student), (share.to(targets.dtype) @ targets)[owner])
        return (value * foreground.select(foreground.weight)).sum()
    pairs = objective.dense_loss(student.repeat_interleave(positions, 1).flatten(0, 1),
                                 objective.dense_target(target.repeat(1, positions, 1).flatten(0, 1)))
    return (pairs * (foreground.weight[:, :, None] * inside[:, None]).flatten()).sum()


def _normalized(foreground: Foreground) -> tuple[Tensor, Tensor]:
    """Weights that sum to 1 over each view with foreground, (D, P), and the weight of each view, (D,)."""
    of_view = foreground.weight.sum(1)
    return foreground.weight / of_view[:, None].clamp(min=1e-12), of_view


ALIGNMENTS = dict(point_to_point=point_to_point, average=average, point_to_all=point_to_all)
