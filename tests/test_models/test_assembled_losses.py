"""Every term of every method's assembled loss, -D forms included, against loops over the networks' outputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from . import test_maskalign
from .assembled import (
    D_FORM,
    LAMBDA,
    check,
    cross_entropy,
    decoupled_terms,
    in_float64,  # noqa: F401
    nce,
    step,
    uncut_cells,
)
from .conftest import NECK, RESNET, batch, densecl
from .golden_models import ibot


@pytest.mark.parametrize('branch', [None, D_FORM])
def test_the_terms_of_densecl_are_those_of_loops(branch):
    model, begun, losses = step(densecl(dense_weight=0.3, decoupling=branch), batch())
    (query, key), made = begun.views, begun.decoupled
    student_map = model.backbone(query if made is None else torch.cat([query, made.images]))[-1]
    teacher_map = model.teacher.backbone(key)[-1]
    student, teacher = model.neck((student_map,)), model.teacher.neck((teacher_map,))
    single, dense = [], []
    for b in range(8):
        single.append(nce(student[0][b], teacher[0][b], model.queue.keys))
        ours, theirs = student_map[b].flatten(1), teacher_map[b].flatten(1)
        for i in range(16):
            similar = [F.cosine_similarity(ours[:, i], theirs[:, j], dim=0).item() for j in range(16)]
            dense.append(
                nce(student[1][b, :, i], teacher[1][b, :, similar.index(max(similar))], model.dense_queue.keys)
            )
    expected = {'loss_global': 0.7 * sum(single) / len(single), 'loss_dense': 0.3 * sum(dense) / len(dense)}
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        expected = decoupled_terms(
            expected,
            [
                sum(nce(student[1][8 + d, :, j], teacher[1][row, :, j], model.dense_queue.keys) for j in cells[d])
                / len(cells[d])
                for d, row in enumerate(made.rows.tolist())
            ],
            share,
        )
    check(losses, expected)


def test_the_terms_of_mocov2_are_those_of_loops():
    model, begun, losses = step(
        dict(
            type='MoCoV2',
            backbone=RESNET,
            queue_length=32,
            channels=16,
            neck=dict(type='mmpretrain.MoCoV2Neck', **{k: v for k, v in NECK.items() if k != 'type'}),
        ),
        batch(),
    )
    (student,) = model.neck((model.backbone(begun.views[0])[-1],))
    (teacher,) = model.teacher.neck((model.teacher.backbone(begun.views[1])[-1],))
    check(losses, {'loss_global': sum(nce(q, k, model.queue.keys) for q, k in zip(student, teacher)) / 8})


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(local_views=2),
        dict(visible_weight=0.7),
        dict(decoupling=D_FORM),
        dict(decoupling=D_FORM, local_views=2, visible_weight=0.7),
        dict(decoupling={**D_FORM, 'weighting': 'additive', 'foreground': 'half', 'partner_view': 'other'}),
        dict(mim_mask=dict(type='RegionCollaborativeCutout', cut_ratio=(0.3, 0.6), grid=2)),
    ],
    ids=['iBOT', 'multi-crop', '++', '-D', '-D multi-crop ++', '-D release', 'RCC'],
)
def test_the_terms_of_ibot_are_those_of_loops(options):
    inputs = batch()['inputs'] + batch(pixels=16)['inputs'][: options.get('local_views', 0)]
    model, begun, losses = step(ibot(**options), dict(inputs=inputs, data_samples=None))
    model.start_epoch(0)
    views, masks, made = begun.views, begun.extras.mask.unflatten(0, (2, 8)), begun.decoupled
    assert masks.any()
    teacher = [model.teacher.backbone(view)[0] for view in views[:2]]
    student = [model.backbone(view, mask)[0] for view, mask in zip(views, masks)]
    student += [model.backbone(view)[0] for view in views[2:]]

    def target(token: Tensor, center: Tensor) -> Tensor:
        return ((model.teacher.neck(token[None])[0] - center) / 0.04).softmax(0)

    def scores(token: Tensor) -> Tensor:
        return model.neck(token[None])[0] / 0.1

    def patches(chosen: Tensor) -> Tensor:
        """Mean over views and images of the mean over the chosen patches."""
        total = 0
        for v in range(2):
            for b in range(8):
                cells = chosen[v, b].flatten().nonzero().flatten().tolist()
                terms = [
                    cross_entropy(target(teacher[v][b, 1 + j], model.patch_center.value), scores(student[v][b, 1 + j]))
                    for j in cells
                ]
                total = total + sum(terms) / max(len(terms), 1) / 16
        return total

    pairs = [(q, v) for q in range(2) for v in range(len(views)) if q != v]
    classes = [
        cross_entropy(target(teacher[q][b, 0], model.class_center.value), scores(student[v][b, 0]))
        for q, v in pairs
        for b in range(8)
    ]
    expected = {'loss_class': sum(classes) / len(classes), 'loss_patch': patches(masks)}
    if 'visible_weight' in options:
        expected['loss_visible'] = 0.7 * patches(~masks)
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        tokens = model.backbone(made.images)[0]
        values = []
        for d, row in enumerate(made.rows.tolist()):
            terms = [
                cross_entropy(
                    target(teacher[row // 8][row % 8, 1 + j], model.patch_center.value), scores(tokens[d, 1 + j])
                )
                for j in cells[d]
            ]
            values.append(sum(terms) / max(len(terms), 1))
        additive = options['decoupling'].get('weighting') == 'additive'
        expected = decoupled_terms(expected, values, share, 1 if additive else 1 - LAMBDA)
    check(losses, expected)


@pytest.mark.parametrize('branch', [None, D_FORM])
def test_the_terms_of_maskalign_are_those_of_loops(branch):
    model, begun, losses = step(test_maskalign.maskalign(decoupling=branch), batch(views=1))
    view, made = begun.views[0], begun.decoupled
    blocks = model.teacher.backbone.blocks(
        model.teacher.backbone.tokens(view * model.teacher.scale + model.teacher.shift)[0]
    )[-2:]
    targets = [
        (block - block.mean(2, keepdim=True)) / (block.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        for block in blocks
    ]
    torch.manual_seed(0)
    visible = model.draw_visible(model.teacher(view)[1])

    def outputs(images: Tensor, seen: Tensor) -> list[Tensor]:
        """Projected levels of the class token and the seen patches of each view."""
        tokens = model.backbone.tokens(images)[0]
        tokens = torch.stack([row[[0, *(1 + j for j in kept)]] for row, kept in zip(tokens, seen.tolist())])
        made = model.backbone.blocks(tokens)
        return [
            head(sum(w * block for w, block in zip(weights, made)))
            for weights, head in zip(model.neck.weights, model.neck.heads)
        ]

    def smooth(difference: Tensor) -> Tensor:
        size = difference.abs()
        return 2 * torch.where(size < 1, size**2 / 2, size - 0.5).mean()

    found = outputs(view, visible)
    terms = [
        smooth(found[level][b, t] - targets[level][b, token])
        for level in range(2)
        for b in range(8)
        for t, token in enumerate([0, *(1 + j for j in visible[b].tolist())])
    ]
    expected = {'loss_align': sum(terms) / len(terms)}
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        found = outputs(made.images, torch.arange(16).expand(len(made.rows), 16))
        expected = decoupled_terms(
            expected,
            [
                sum(smooth(found[level][d, 1 + j] - targets[level][row, 1 + j]) for level in range(2) for j in cells[d])
                / 2
                / len(cells[d])
                for d, row in enumerate(made.rows.tolist())
            ],
            share,
        )
    check(losses, expected)
