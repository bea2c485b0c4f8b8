"""Every term of the assembled losses of the region methods, -D forms included, against loops over boxes and bins."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.decoupling.regions import uncut_fraction
from mmdecouple.models.point_grid import PointPairs

from . import test_leopart, test_plrc, test_soco, test_soco_fpn
from .assembled import (
    D_FORM,
    check,
    cross_entropy,
    decoupled_terms,
    in_float64,  # noqa: F401
    nce,
    step,
    uncut_cells,
)
from .conftest import BRANCH
from .test_point_losses import contrast_by_hand, distillation_by_hand


def matched(prediction: Tensor, projection: Tensor, ids: Tensor, other: Tensor) -> Tensor:
    """-2 times the mean over images of the mean cosine of boxes with one id."""
    images = []
    for p, z, own, theirs in zip(prediction, projection, ids.tolist(), other.tolist()):
        cosines = [
            F.cosine_similarity(p[i], z[j], dim=0) for i, a in enumerate(own) for j, b in enumerate(theirs) if a == b
        ]
        images.append(sum(cosines) / (len(cosines) + 1e-6))
    return -2 * sum(images) / len(images)


def crosswise(samples: list) -> None:
    """Let every image have ids of its own, of which some are in both views, some twice."""
    for n, sample in enumerate(samples):
        sample.box_ids = torch.tensor([[1, 2, 3, 1], [3, 1, 2, 2]]).roll(n, 1)


RCC = dict(type='CutViews', views=(1,), mask_stride=16, on_regions=True, mask=BRANCH['mask'])


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(decoupling=D_FORM),
        dict(decoupling=D_FORM, data_preprocessor=dict(batch_stages=[RCC])),
        dict(data_preprocessor=dict(batch_stages=[RCC])),
    ],
    ids=['SoCo', '-D', '-D with RCC', 'RCC'],
)
def test_the_terms_of_soco_are_those_of_loops(options):
    batch_of = test_soco.data()
    crosswise(batch_of['data_samples'])
    model, begun, losses = step(test_soco.soco(**options), batch_of)
    views, made = begun.views, begun.decoupled
    boxes, ids = ([part[index] for part in begun.regions] for index in range(2))

    def predicted(*arguments: Tensor) -> Tensor:
        projection = model.encode(model.backbone, model.neck, *arguments)
        return model.predictor((projection.flatten(0, 1),))[0].unflatten(0, projection.shape[:2])

    first = (
        predicted(views[0], boxes[0])
        if made is None
        else predicted(
            torch.cat([views[0], made.images]),
            torch.cat([boxes[0], boxes[0][made.rows]]),
            uncut_fraction(made.cut_mask, boxes[0][made.rows], 7),
        )
    )
    student = [first[:8], predicted(views[1], boxes[1])]
    teacher = [model.encode(model.teacher.backbone, model.teacher.neck, view, box) for view, box in zip(views, boxes)]
    expected = {
        'loss_12': matched(student[0], teacher[1], ids[0], ids[1]),
        'loss_21': matched(student[1], teacher[0], ids[1], ids[0]),
    }
    assert abs(expected['loss_12'] - expected['loss_21']) > 1e-3
    if made is not None:
        values, kept = [], 0
        for d, row in enumerate(made.rows.tolist()):
            left = uncut_fraction(made.cut_mask[d : d + 1], boxes[0][row : row + 1], 7).mean((2, 3))[0]
            own = ids[0][row].tolist()
            counted = [k for k in range(4) if own[k] not in own[:k] and left[k] > 1e-3]
            terms = [-4 * F.cosine_similarity(first[8 + d, k], teacher[0][row, k], dim=0) for k in counted]
            values.append(sum(terms) / max(len(terms), 1))
            kept += len(counted)
        expected = decoupled_terms(expected, values, kept / 4 / len(values))
    check(losses, expected)


def test_the_terms_of_soco_on_a_pyramid_are_those_of_loops():
    batch_of = test_soco_fpn.fpn_data()
    for n, sample in enumerate(batch_of['data_samples']):
        sample.box_ids = torch.tensor([[[1, 2, 3, 1], [3, 1, 2, 2]], [[4, 5, 6, 4], [6, 6, 4, 5]]]).roll(n, 2)
        # One box of each view is too large for any level.
        for place in ((0, 0, (n + 1) % 4), (0, 1, (n + 2) % 4), (1, 1, n % 4)):
            sample.boxes[place] = torch.tensor([0.0, 0, 1, 1])
    config = test_soco.soco_fpn()
    config['neck']['limits'] = (10, 20, 26, 30)
    model, begun, losses = step(config, batch_of)
    student, teacher = [], []
    for view, regions in zip(begun.views, begun.extras):
        for network, found in ((model, student), (model.teacher, teacher)):
            found.append(model.encode(network.backbone, network.neck, view, regions))
        rows = model.predictor((student[-1].flatten(0, 1),))[0]
        student[-1] = rows.unflatten(0, regions.ids.shape)
    ids = [regions.ids.clone() for regions in begun.extras]
    for v, (view, regions) in enumerate(zip(begun.views, begun.extras)):
        side = ((regions.boxes[..., 2:] - regions.boxes[..., :2]) * view.shape[-1] + 1e-3).floor().prod(-1).sqrt()
        assert (side > 30).any() and (side <= 30).any()
        # A box without a level meets nobody.
        ids[v][side > 30] = -1 - v
    expected = {}
    for pair, other in ((0, 1), (1, 2)):
        mine = slice(4 * pair, 4 * pair + 4)
        expected[f'loss_1{other + 1}'] = matched(student[0][:, mine], teacher[other], ids[0][:, mine], ids[other])
        expected[f'loss_{other + 1}1'] = matched(student[other], teacher[0][:, mine], ids[other], ids[0][:, mine])
    assert len({round(value.item(), 6) for value in expected.values()}) == 4
    check(losses, expected)


@pytest.mark.parametrize('branch', [None, D_FORM])
def test_the_terms_of_leopart_are_those_of_loops(branch):
    model, begun, losses = step(test_leopart.leopart(decoupling=branch, queue_length=16), test_leopart.data())
    views, made = begun.views, begun.decoupled
    teacher = model.teacher_forward(begun)
    scores = [model.neck(model.backbone(view)[0][:, 1:]) for view in views]
    maps = [score.transpose(1, 2).unflatten(2, (int(score.shape[1] ** 0.5),) * 2) for score in scores]
    assignments = teacher['dense'].transpose(1, 2).unflatten(2, maps[0].shape[-2:]).chunk(2)
    masks = teacher['mask'][:, None].chunk(2)
    geometry = begun.geometry
    pairs = [
        model._pair_loss(maps[v], assignments[j], masks[j], geometry[v], geometry[j])
        for j in range(2)
        for v in range(4)
        if v != j
    ]
    expected = {'loss_cluster': sum(pairs) / 6}
    attended = teacher['mask'].flatten(1)
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        student = model.neck(model.backbone(made.images)[0][:, 1:])
        by_view = [[], []]
        for d, row in enumerate(made.rows.tolist()):
            by_view[row // 8] += [
                cross_entropy(teacher['dense'][row, j], student[d, j] / 0.1) for j in cells[d] if attended[row, j]
            ]
        expected = decoupled_terms(expected, [sum(terms) / max(len(terms), 1) for terms in by_view], share)
    check(losses, {**expected, 'attended_share': attended.mean()})


@pytest.mark.parametrize('branch', [None, D_FORM])
def test_the_terms_of_plrc_are_those_of_loops(branch):
    model, begun, losses = step(test_plrc.plrc(decoupling=branch, loss_weights=(0.5, 2.0, 3.0)), test_plrc.data())
    (query, key, other), made, drawn = begun.views, begun.decoupled, begun.extras
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
