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
        most: Largest number of foreground positions of one view.
    """
    share: Tensor
    positions: Tensor
    most: int

    @classmethod
    def of(cls, share: Tensor) -> 'Foreground':
        """From F on the CPU, (D, P)."""
        return cls(share, share.flatten().nonzero().flatten(), int(share.sum(1).max()))

    def to(self, device: torch.device) -> 'Foreground':
        """On the device, without waiting for it."""
        share, positions = (part.to(device, non_blocking=True) for part in self[:2])
        return Foreground(share, positions, self.most)

    @property
    def weight(self) -> Tensor:
        """1 / |F_d| at each foreground position of view d, else 0: (D, P)."""
        return self.share / self.share.sum(1, keepdim=True).clamp(min=1)


def point_to_point(student: Tensor, target: Tensor, foreground: Foreground, objective: DenseObjective) -> Tensor:
    """1 / |F| sum_{j in F} loss(student_j, target_j): the paper's choice (eq. 6, "p-p" in Table 5)."""
    value = objective.dense_loss(_select(student, foreground), objective.dense_target(_select(target, foreground)))
    return (value * foreground.weight.flatten()[foreground.positions]).sum() / len(student)


def average(student: Tensor, target: Tensor, foreground: Foreground, objective: DenseObjective) -> Tensor:
    """loss(mean of the student over F, mean of the target over F): InsLoc's rule ("avg" in Tables 5 and 11)."""
    weight = foreground.weight[:, None]
    pooled, pooled_target = (torch.bmm(weight.to(x.dtype), x)[:, 0] for x in (student, target))
    value = objective.dense_loss(pooled, objective.dense_target(pooled_target))
    return (value * foreground.share.amax(1)).mean()


def point_to_all(student: Tensor, target: Tensor, foreground: Foreground, objective: DenseObjective) -> Tensor:
    """1 / |F|^2 sum_{i, j in F} loss(student_i, target_j): CP2's rule ("p-a" in Tables 5 and 11)."""
    views, positions, _ = student.shape
    weight = foreground.weight
    if objective.linear_in_target:
        at = foreground.positions
        view = torch.arange(views, device=at.device)[:, None]
        owner = (at // positions == view) * weight.flatten()[at]
        targets = objective.dense_target(_select(target, foreground))
        mean = (owner.to(targets.dtype) @ targets)[at // positions]
        value = objective.dense_loss(_select(student, foreground), mean)
        return (value * weight.flatten()[at]).sum() / views
    pairs = objective.dense_loss(student.repeat_interleave(positions, 1).flatten(0, 1),
                                 objective.dense_target(target.repeat(1, positions, 1).flatten(0, 1)))
    return (pairs * (weight[:, :, None] * weight[:, None]).flatten()).sum() / views


def _select(features: Tensor, foreground: Foreground) -> Tensor:
    return features.flatten(0, 1)[foreground.positions]


ALIGNMENTS = dict(point_to_point=point_to_point, average=average, point_to_all=point_to_all)
