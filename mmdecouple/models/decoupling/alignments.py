"""How dense features of a decoupled view are paired with those of its clean key view.

Every alignment takes student features (D, P, C), target features (D, P, C) of the same positions, the foreground
(D, P) in [0, 1], and the method's own loss of matched positions `(D, P', C), (D, P', C) -> (D, P')`; it returns the
loss of each decoupled view, (D,). A view without foreground gives a zero that is still attached to the graph.
"""
from collections.abc import Callable

from torch import Tensor

PositionLoss = Callable[[Tensor, Tensor], Tensor]


def point_to_point(student: Tensor, target: Tensor, foreground: Tensor, loss: PositionLoss) -> Tensor:
    """1 / |F| sum_{j in F} loss(student_j, target_j): the paper's choice (eq. 6, "p-p" in Table 5)."""
    return _mean(loss(student, target), foreground)


def average(student: Tensor, target: Tensor, foreground: Tensor, loss: PositionLoss) -> Tensor:
    """loss(mean of the student over F, mean of the target over F): InsLoc's rule ("avg" in Tables 5 and 11)."""
    weight = foreground[..., None] / foreground.sum(1).clamp(min=1)[:, None, None]
    pooled = loss((student * weight).sum(1, keepdim=True), (target * weight).sum(1, keepdim=True))
    return pooled[:, 0] * foreground.amax(1)


def point_to_all(student: Tensor, target: Tensor, foreground: Tensor, loss: PositionLoss) -> Tensor:
    """1 / |F|^2 sum_{i, j in F} loss(student_i, target_j): CP2's rule ("p-a" in Tables 5 and 11)."""
    views, positions, _ = student.shape
    pairs = loss(student.repeat_interleave(positions, 1), target.repeat(1, positions, 1))
    weight = foreground[:, :, None] * foreground[:, None, :]
    return _mean(pairs, weight.reshape(views, -1))


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum(1) / weight.sum(1).clamp(min=1)


ALIGNMENTS = dict(point_to_point=point_to_point, average=average, point_to_all=point_to_all)
