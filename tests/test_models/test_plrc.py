"""PLRC and PLRC-D: a step's terms by formulas written out by hand, and the contracts of the package."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdecouple.models.point_grid import PointPairs, interpolation
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError

from .conftest import BRANCH, RESNET, batch, begun, build, forwarded, losses_of
from .test_point_losses import contrast_by_hand, distillation_by_hand

HEAD = dict(type='PointHead', in_channels=32, out_channels=16, hidden_channels=24, bottleneck_channels=8, prototypes=12)
WINDOWS = ([0, 0, 100, 90, 0], [10, 5, 80, 70, 1], [5, 0, 90, 85, 1])


def plrc(**kwargs) -> dict:
    """Config of a PLRC for 32 pixel views: 4 x 4 positions, 8 x 8 points."""
    return {
        **dict(
            type='PLRC', backbone=RESNET, neck=HEAD, queue_length=32, channels=16, point_grid=8, points=4, negatives=3
        ),
        **kwargs,
    }


def data(size: int = 8, windows=WINDOWS, seed: int = 1) -> dict:
    """A batch of three views with windows in images of 100 x 120 pixels; the images' windows differ by some pixels."""
    samples = [
        BaseDataElement(
            geometry=torch.tensor(
                [[x + 2 * n, y + n, w, h, flip, 100, 120] for x, y, w, h, flip in windows], dtype=torch.float32
            )
        )
        for n in range(size)
    ]
    return dict(inputs=batch(size, views=3, seed=seed)['inputs'], data_samples=samples)


def test_the_teacher_temperature_rises_linearly_over_thirty_epochs():
    model = build(plrc())
    seen = []
    for epoch in (0, 1, 15, 29, 30, 99):
        model.start_epoch(epoch)
        seen.append(float(model.affinity.teacher_temperature.value))
    assert seen == pytest.approx([0.04 + 0.03 * min(e / 29, 1) for e in (0, 1, 15, 29, 30, 99)], rel=1e-6)


def test_the_three_terms_of_a_step_equal_the_formulas():
    model = build(plrc()).train()
    model.affinity.center.value.copy_(torch.linspace(-0.2, 0.2, 64 + 12))
    queue = model.queue.keys.double().clone()
    model.data_preprocessor.set_step(seed=0, rank=0, iteration=0)
    step = forwarded(model, begun(model, data()))
    losses, (drawn, *_) = model.base_loss(step), step.extras
    with torch.no_grad():
        weights = interpolation(4, 4, 8, queue)
        dense, teacher_dense = step.student['dense'].double(), step.teacher['dense'].double()[:8]
        pooled = [F.normalize(part.mean(1), dim=1) for part in (dense, teacher_dense)]
        image = []
        for q, k in zip(*pooled):
            match = torch.exp(q @ k / 0.2)
            image.append(-torch.log(match / (match + torch.exp(queue @ q / 0.2).sum())))
        assert losses['loss_image'].item() == pytest.approx(0.7 * float(sum(image) / 8), rel=1e-5)

        points = [
            torch.stack([F.normalize(weights[i] @ maps, dim=1) for i, maps in zip(chosen, whose)])
            for chosen, whose in ((drawn.query, dense), (drawn.key, teacher_dense))
        ]
        assert drawn.key.shape == (8, 16) and drawn.positive[:, :4].any(1).sum() >= 6
        expected = contrast_by_hand(*points, drawn.positive, 0.2)
        assert losses['loss_point'].item() == pytest.approx(0.3 * float(expected), rel=1e-5)

        head, teacher_head = model.neck, model.teacher.neck
        own = head.bottleneck(step.student['map']).double()
        teacher_map = model.encode(model.teacher.backbone, teacher_head, step.stacked((1, 2)))['map']
        key, other = teacher_head.bottleneck(teacher_map).double().chunk(2)
        targets = weights @ key
        logits = [
            torch.cat([maps @ targets.transpose(1, 2), maps @ last.last_layer.weight.double().T], 2)
            for maps, last in ((own, head), (other, teacher_head))
        ]
        pairs = PointPairs.between(step.geometry[0], step.geometry[2], (32, 32), 8, 0.5)
        center = model.affinity.center.value.double()
        value, mean, number = distillation_by_hand(*logits, center, weights, pairs, 0.1, 0.04)
        assert number > 100
        assert losses['loss_affinity'].item() == pytest.approx(0.3 * float(value), rel=1e-5)
        torch.testing.assert_close(own.norm(dim=2), torch.ones(8, 16, dtype=torch.float64), rtol=1e-5, atol=0)

        model.update_memory(step)
        torch.testing.assert_close(
            model.affinity.center.value.double(), 0.9 * center + 0.1 * mean, rtol=1e-4, atol=1e-6
        )
        assert torch.equal(model.queue.keys[:8], step.teacher['global'][:8]) and int(model.queue.pointer) == 8
    assert model.neck.last_layer.weight.norm(dim=1).allclose(torch.ones(12))


def test_the_decoupling_loss_equals_the_formula():
    model = build(plrc(decoupling={**BRANCH, 'ratio': 1.0})).train()
    step = begun(model, data())
    queue, decoupled, seen = model.queue.keys.double().clone(), step.decoupled, {}
    model.neck.register_forward_hook(lambda _, __, out: seen.update(student=out.detach().double()))
    value = model.loss(step)['decoupling']
    student, teacher = seen['student'][8:], step.teacher['dense'].double()[decoupled.rows]
    assert int(decoupled.rows.max()) < 8 and len(student) == 8
    total = []
    for d in range(8):
        terms = []
        for j in range(16):
            if not decoupled.cut_mask[d].flatten()[j]:
                q, k = (F.normalize(part[d, j], dim=0) for part in (student, teacher))
                match = torch.exp(q @ k / 0.2)
                terms.append(-torch.log(match / (match + torch.exp(queue @ q / 0.2).sum())))
        total.append(sum(terms) / len(terms))
    assert value.item() == pytest.approx(float(sum(total) / 8), rel=1e-5)


def test_only_the_student_sees_decoupled_views_and_the_affinity_head_sees_none():
    model = build(plrc(decoupling={**BRANCH, 'ratio': 1.0})).train()
    seen = {}
    for name, module in (
        ('student', model.backbone),
        ('teacher', model.teacher.backbone),
        ('affinity', model.neck.affinity_mlp),
    ):
        module.register_forward_pre_hook(lambda _, inputs, name=name: seen.setdefault(name, []).append(inputs[0]))
    step = begun(model, data())
    model.loss(step)
    assert {name: [len(images) for images in inputs] for name, inputs in seen.items()} == {
        'student': [16],
        'teacher': [16],
        'affinity': [8 * 16],
    }
    assert torch.equal(seen['student'][0], torch.cat([step.views[0], step.decoupled.images]))
    clean = torch.cat(step.views[1:])
    assert sorted(seen['teacher'][0].sum((1, 2, 3)).tolist()) == pytest.approx(
        sorted(clean.sum((1, 2, 3)).tolist()), rel=1e-4
    )
    assert int(model.queue.pointer) == 8


def test_lambda_zero_is_the_base_method_bit_for_bit():
    states = []
    for branch in (None, {**BRANCH, 'loss_weight': 0.0}):
        model = build(plrc(decoupling=branch)).train()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
        for step in range(2):
            losses = losses_of(model, data(), step)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            model.update_teacher(step, 2)
        states.append(model.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_every_trained_parameter_has_a_gradient_even_if_the_windows_share_nothing():
    apart = ([0, 0, 30, 30, 0], [80, 60, 20, 20, 0], [85, 65, 20, 20, 1])
    model = build(plrc()).train()
    losses = losses_of(model, data(windows=apart))
    assert losses['loss_point'].item() == losses['loss_affinity'].item() == 0 < losses['loss_image'].item()
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    assert torch.isfinite(model.affinity.center.value).all()


def test_one_seed_and_iteration_give_one_loss_and_another_iteration_another():
    model = build(plrc()).train()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    values = []
    for iteration in (5, 5, 6):
        model.load_state_dict(state)
        values.append(losses_of(model, data(), iteration)['loss_point'].item())
    assert values[0] == values[1] != values[2]


def test_bf16_gives_nearly_the_same_terms():
    model = build(plrc()).train()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    exact = losses_of(model, data())
    model.load_state_dict(state)
    with torch.autocast('cpu', torch.bfloat16):
        rough = losses_of(model, data())
    for name, value in exact.items():
        assert rough[name].dtype == torch.float32
        assert rough[name].item() == pytest.approx(value.item(), rel=0.05), name


def test_twenty_steps_lower_the_loss():
    model = build(plrc(decoupling=BRANCH, teacher=dict(momentum=0.9))).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    values = []
    for step in range(20):
        losses = losses_of(model, data(), step)
        total = sum(value for name, value in losses.items() if name.startswith('loss'))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        model.update_teacher(step, 20)
        values.append(total.item())
    assert sum(values[-4:]) < 0.95 * sum(values[1:5])


@pytest.mark.parametrize(
    'changed, message',
    [
        (dict(points=65), r'points must lie in \[1, 64\], got 65 .config key model.points'),
        (dict(point_grid=3), 'point_grid must be a whole number of at least 4, got 3 .config key model.point_grid'),
        (dict(loss_weights=(0.7, 0.3)), 'loss_weights must be a list of 3 numbers'),
        (dict(neck=dict(type='DINOHead', in_channels=32)), 'type must be a PointHead, got DINOHead'),
        (
            dict(affinity=dict(reach=0)),
            'PointAffinity: reach must be a number above 0, got 0 .config key model.affinity',
        ),
    ],
)
def test_settings_that_do_not_fit_are_one_line(changed, message):
    with pytest.raises(UserError, match=message) as error:
        MODELS.build(plrc(**changed))
    assert '\n' not in str(error.value)


def test_samples_without_geometry_are_refused():
    with pytest.raises(UserError, match='PLRC: the samples have no geometry; end the pipeline with PackViews'):
        losses_of(build(plrc()), batch(views=3))
