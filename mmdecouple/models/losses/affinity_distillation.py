"""Cross-entropy of matching points of student and teacher, without the full matrix of logits."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmdecouple.models.point_grid import PointPairs

_CHUNK_ELEMENTS = 2**24


def affinity_distillation(
    student: Tensor,
    teacher: Tensor,
    center: Tensor,
    weights: Tensor,
    pairs: PointPairs,
    student_temperature: float,
    teacher_temperature: Tensor,
) -> Tensor:
    """Returns the mean cross-entropy over all pairs of points (i, j).

    loss_ij = -sum_k softmax((t_j - c) / T_t)_k log softmax(s_i / T_s)_k

    The logits of points are interpolated from those of the P positions of the map. The sum over pairs is computed as
    sum_i n_i log Z_i - <s / T_s, target>, where n_i is the number of pairs of point i and `target` (B, P, K) is the sum
    of the teacher's distributions of all pairs, collected at the positions. The points are processed in chunks of at
    most 2^24 logits, and the gradient is computed in the forward pass: memory does not grow with N x K.

    Args:
        student: s, logits of the student at the positions of its map, (B, P, K).
        teacher: t, logits of the teacher at the positions of its map, (B, P, K); they get no gradient.
        center: c, (K,).
        weights: Interpolation weights, (N, P).
        pairs: Pairs of points i of the student and j of the teacher.
        student_temperature: T_s, above 0.
        teacher_temperature: T_t, above 0, ().

    Returns:
        Mean over all pairs of the batch, (); 0, attached to the graph, if there are no pairs.

    Source: arXiv 2202.04639, section 3.3; centering and temperatures as in DINO (arXiv 2104.14294, eq. 1 and 4).
    """
    dtype = torch.promote_types(student.dtype, torch.float32)
    tensors = [tensor.detach().to(dtype) for tensor in (teacher, center, weights, *pairs)]
    with torch.autocast(student.device.type, enabled=False):
        return _Distillation.apply(student.to(dtype), *tensors, student_temperature, teacher_temperature.to(dtype))


class _Distillation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        student: Tensor,
        teacher: Tensor,
        center: Tensor,
        weights: Tensor,
        rows: Tensor,
        columns: Tensor,
        student_temperature: float,
        teacher_temperature: Tensor,
    ):
        pairs, student = PointPairs(rows, columns), student / student_temperature
        step = max(_CHUNK_ELEMENTS // (len(student) * max(student.shape[2], pairs.num_points)), 1)
        parts = [slice(start, start + step) for start in range(0, pairs.num_points, step)]
        target, counts = torch.zeros_like(student), student.new_zeros(len(student), pairs.num_points)
        # With expanded weights, `bmm` neither copies nor transposes its arguments, unlike `@`.
        weights = weights.expand(len(student), -1, -1)
        for part in parts:
            paired = pairs.select(part)
            counts += paired.sum(2)
            logits = torch.bmm(weights[:, part], teacher).sub_(center).div_(teacher_temperature)
            target.baddbmm_(torch.bmm(weights.mT, paired), _softmax_(logits))
        value, gradient = -(student * target).sum(), target.neg_()
        for part in parts:
            logits, count = torch.bmm(weights[:, part], student), counts[:, part, None]
            total = torch.logsumexp(logits, 2, keepdim=True)
            value = value + (count * total).sum()
            gradient.baddbmm_(weights[:, part].mT, logits.sub_(total).exp_().mul_(count))
        number = counts.sum().clamp(min=1)
        ctx.save_for_backward(gradient.div_(number * student_temperature))
        return value / number

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_value: Tensor):
        (gradient,) = ctx.saved_tensors
        return gradient * grad_value, *[None] * 7


def _softmax_(logits: Tensor) -> Tensor:
    """Computes the softmax over the last dimension in place."""
    logits.sub_(logits.amax(-1, keepdim=True)).exp_()
    return logits.div_(logits.sum(-1, keepdim=True))
