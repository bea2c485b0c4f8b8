"""PLRC's losses of a step, compared with loops over points and pairs in float64."""

import pytest
import torch
import torch.nn.functional as F

from mmdecouple.models.point_grid import PointPairs

from . import test_plrc
from .assembled import (
    D_FORM,
    check,
    decoupled_terms,
    in_float64,  # noqa: F401
    nce,
    step,
    uncut_cells,
)
from .test_point_losses import contrast_by_hand, distillation_by_hand


@pytest.mark.parametrize('branch', [None, D_FORM])
def test_the_terms_of_plrc_are_those_of_loops(branch):
    model, begun, losses = step(test_plrc.plrc(decoupling=branch, loss_weights=(0.5, 2.0, 3.0)), test_plrc.data())
    (query, key, other), made, drawn = begun.views, begun.decoupled, begun.extras[0]
    student_map = model.backbone(query if made is None else torch.cat([query, made.images]))[-1].flatten(2).mT
    # Batch norm of the teacher sees both of its views at once, in any order.
    teacher_map = model.teacher.backbone(torch.cat([key, other]))[-1].flatten(2).mT
    student, teacher = model.neck(student_map), model.teacher.neck(teacher_map)
    enlarged = [
        F.interpolate(dense.mT.unflatten(2, (4, 4)), (8, 8), mode='bilinear').flatten(2).mT
        for dense in (student, teacher)
    ]
    points = [
        torch.stack([F.normalize(row[chosen], dim=1) for row, chosen in zip(maps, positions)])
        for maps, positions in zip(enlarged, (drawn.query, drawn.key))
    ]
    of_head = model.neck.bottleneck(student_map[:8]), *model.teacher.neck.bottleneck(teacher_map).chunk(2)
    own, targets, there = (
        F.interpolate(dense.mT.unflatten(2, (4, 4)), (8, 8), mode='bilinear').flatten(2).mT for dense in of_head
    )
    logits = [
        torch.cat([maps @ targets.mT, network.last_layer(maps)], dim=2)
        for maps, network in ((own, model.neck), (there, model.teacher.neck))
    ]
    pairs, each = PointPairs.between(begun.geometry[0], begun.geometry[2], (32, 32), 8, 0.5), torch.eye(64)
    distilled = distillation_by_hand(*logits, model.affinity.center.value, each.double(), pairs, 0.1, 0.04)[0]
    single = [nce(student[b].mean(0), teacher[b].mean(0), model.queue.keys) for b in range(8)]
    expected = {
        'loss_image': 0.5 * sum(single) / 8,
        'loss_point': 2 * contrast_by_hand(*points, drawn.positive, 0.2),
        'loss_affinity': 3 * distilled,
    }
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        values = []
        for d, row in enumerate(made.rows.tolist()):
            terms = [nce(student[8 + d, j], teacher[row, j], model.queue.keys) for j in cells[d]]
            values.append(sum(terms) / max(len(terms), 1))
        expected = decoupled_terms(expected, values, share)
    # InfoNCE gives the values of its rows in float32.
    assert losses['loss_image'].item() == pytest.approx(expected['loss_image'].item(), rel=1e-6)
    check({**losses, 'loss_image': expected['loss_image']}, expected)
