"""Every term of the assembled losses of the region methods, -D forms included, against loops over boxes and bins."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.decoupling.regions import uncut_fraction

from . import test_leopart, test_resim, test_soco, test_soco_fpn
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


def tent(cells: int, low: float, high: float) -> list[float]:
    """Mean over [low, high] of the triangle of each cell, from the areas below its two slopes."""

    def area(start: float, end: float) -> float:
        return (end - start) * (start + end) / 2 if end > start else 0.0

    found = []
    for j in range(cells):
        rising = area(max(low - j + 1, 0), min(high - j + 1, 1))
        falling = area(max(j + 1 - high, 0), min(j + 1 - low, 1))
        found.append((rising + falling) / (high - low))
    return found


def window_means(maps: Tensor, view: int, image: int, box: tuple[float, ...]) -> Tensor:
    """Mean of the interpolated map of an image inside a box in pixels of a view with sides of `view` pixels."""
    x1, y1, x2, y2 = (edge * maps.shape[-1] / view for edge in box)
    columns, rows = tent(maps.shape[-1], x1, x2), tent(maps.shape[-2], y1, y2)
    return sum(
        rows[i] * columns[j] * maps[image, :, i, j] for i in range(maps.shape[-2]) for j in range(maps.shape[-1])
    )


def moved(box: tuple[float, ...], own: list[float], other: list[float], size: int) -> tuple[float, ...]:
    """Converts a box from pixels of one view to pixels of another by their geometries."""
    ends = []
    for x, y in (box[:2], box[2:]):
        x = size - x if own[4] else x
        x, y = x * own[2] / size + own[0], y * own[3] / size + own[1]
        x, y = (x - other[0]) * size / other[2], (y - other[1]) * size / other[3]
        ends.append((size - x if other[4] else x, y))
    (x1, y1), (x2, y2) = ends
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def window_losses(query: Tensor, key: Tensor, geometry: Tensor, side: int, stride: int, negatives: list) -> list:
    """InfoNCE of each window of 32 pixel views that the key view shows completely."""
    losses = []
    for image, (own, other) in enumerate(geometry.transpose(0, 1).tolist()):
        for y in range(0, 32 - side, stride):
            for x in range(0, 32 - side, stride):
                box = (x, y, x + side, y + side)
                there = moved(box, own, other, 32)
                if min(there) > -1e-6 and max(there) < 32:
                    pooled = window_means(query, 32, image, box), window_means(key, 32, image, there)
                    losses.append(nce(*pooled, negatives))
    return losses


def neighborhoods(maps: Tensor) -> list[Tensor]:
    """Normalized means of all 3 x 3 neighborhoods of the maps."""
    return [
        (mean := maps[n, :, i : i + 3, j : j + 3].mean((1, 2))) / mean.norm()
        for n in range(len(maps))
        for i in range(maps.shape[2] - 2)
        for j in range(maps.shape[3] - 2)
    ]


@pytest.mark.parametrize('branch', [None, D_FORM])
@pytest.mark.parametrize('config', [test_resim.resim, test_resim.resim_c4])
def test_the_terms_of_resim_are_those_of_loops(config, branch):
    model, begun, losses = step(config(decoupling=branch), test_resim.data())
    made = begun.decoupled
    images = torch.cat([begun.views[0], *([] if made is None else [made.images])])
    (student, student_maps), (teacher, teacher_maps) = (
        network.neck(network.backbone(views)) for network, views in ((model, images), (model.teacher, begun.views[1]))
    )
    expected = {'loss_global': sum(nce(*pair, model.queue.keys) for pair in zip(student[:8], teacher)) / 8}
    negatives = [neighborhoods(maps) for maps in teacher_maps]
    shown = 0
    for name, (side, stride), *parts in zip(
        ('loss_region', 'loss_fine'), model.windows, student_maps, teacher_maps, negatives
    ):
        found = window_losses(*parts[:2], begun.geometry, side, stride, parts[2])
        expected[name] = sum(found) / len(found)
        shown += len(found)
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        own, target = student_maps[0][8:].flatten(2), teacher_maps[0].flatten(2)
        values = [
            sum(nce(own[d, :, j], target[row, :, j], negatives[0]) for j in cells[d]) / max(len(cells[d]), 1)
            for d, row in enumerate(made.rows.tolist())
        ]
        expected = decoupled_terms(expected, values, share)
    windows = 4 + 9 * (len(model.windows) - 1)
    check(losses, {**expected, 'shown_share': shown / 8 / windows})
