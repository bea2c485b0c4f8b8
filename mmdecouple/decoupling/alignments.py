"""Alignments: how the dense features of a decoupled view are paired with those of its clean key view.

Every alignment takes the student's features (D, P, C), the teacher's features (D, P, C') at the same positions, the set
of foreground positions, and the method's loss of a pair of positions. It returns L_DC, the mean of one value per view
over the D decoupled views, as a scalar. A view without foreground contributes zero; without any foreground, the result
is a zero that is attached to the graph.
"""

from typing import Protocol

import torch
from torch import Tensor

from .positions import PositionSet


class DenseObjective(Protocol):
    """Dense loss of a method for features of matched positions.

    Attributes:
        linear_in_target: Whether the mean loss over several targets equals the loss of the mean target, as for a
            cross-entropy.
    """

    linear_in_target: bool

    def dense_target(self, features: Tensor) -> Tensor:
        """Returns the targets of the loss from the teacher's features: (M, C') -> (M, T)."""

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of matched positions: (M, C), (M, T) -> (M,)."""


def point_to_point(student: Tensor, target: Tensor, foreground: PositionSet, objective: DenseObjective) -> Tensor:
    """Returns 1 / |F| sum_{j in F} loss(student_j, target_j): the paper's choice (eq. 6, "p-p" in Table 5)."""
    value = objective.dense_loss(foreground.select(student), objective.dense_target(foreground.select(target)))
    return (value * foreground.select(foreground.weight)).sum()


def average(student: Tensor, target: Tensor, foreground: PositionSet, objective: DenseObjective) -> Tensor:
    """Returns loss(mean of the student over F, mean of the target over F): as in InsLoc ("avg" in Tables 5 and 11)."""
    inside, of_view = _normalized(foreground)
    pooled, pooled_target = (torch.bmm(inside[:, None].to(x.dtype), x)[:, 0] for x in (student, target))
    return (objective.dense_loss(pooled, objective.dense_target(pooled_target)) * of_view).sum()


def point_to_all(student: Tensor, target: Tensor, foreground: PositionSet, objective: DenseObjective) -> Tensor:
    """Returns 1 / |F|^2 sum_{i, j in F} loss(student_i, target_j): as in CP2 ("p-a" in Tables 5 and 11)."""
    views, positions, _ = student.shape
    inside, _ = _normalized(foreground)
    if objective.linear_in_target:
        owner = foreground.positions // positions
        view = torch.arange(views, device=owner.device)[:, None]
        averaging = (owner == view) * foreground.select(inside)
        targets = objective.dense_target(foreground.select(target))
        value = objective.dense_loss(foreground.select(student), (averaging.to(targets.dtype) @ targets)[owner])
        return (value * foreground.select(foreground.weight)).sum()
    pairs = objective.dense_loss(
        student.repeat_interleave(positions, 1).flatten(0, 1),
        objective.dense_target(target.repeat(1, positions, 1).flatten(0, 1)),
    )
    return (pairs * (foreground.weight[:, :, None] * inside[:, None]).flatten()).sum()


def _normalized(foreground: PositionSet) -> tuple[Tensor, Tensor]:
    """Returns weights that sum to 1 over each view with foreground, (D, P), and the weight of each view, (D,)."""
    of_view = foreground.weight.sum(1)
    return foreground.weight / of_view[:, None].clamp(min=1e-12), of_view


ALIGNMENTS = dict(point_to_point=point_to_point, average=average, point_to_all=point_to_all)
"""Alignments, by the name that the argument `alignment` takes."""
