"""PLRC and PLRC-D: each formula written out by hand in float64, and the contracts of the package."""

import math
import sys

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdecouple.models import PointAffinity, Samples, Step, affinity_distillation, point_contrast
from mmdecouple.models.point_grid import PointPairs, interpolation
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats.resnet_names import find_networks

from .conftest import BRANCH, RESNET, batch, begun, build, forwarded, losses_of
from .golden import formula
from .golden_models import load

GOLDEN = load('plrc')

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


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def contrast_by_hand(query, key, positive, temperature):
    losses = []
    for image in range(len(query)):
        inside = [j for j in range(key.shape[1]) if positive[image, j]]
        if not inside:
            continue
        terms = []
        for q in query[image]:
            total = sum(torch.exp(q @ k / temperature) for k in key.flatten(0, 1))
            terms += [-torch.log(torch.exp(q @ key[image, j] / temperature) / total) for j in inside]
        losses.append(sum(terms) / len(terms))
    return sum(losses) / len(losses)


@pytest.mark.parametrize('chunk', [2**25, 40, 1])
def test_point_contrast_and_its_gradient_equal_the_formula(chunk, monkeypatch):
    monkeypatch.setattr(sys.modules['mmdecouple.models.losses.point_contrast'], '_CHUNK_ELEMENTS', chunk)
    torch.manual_seed(0)
    query, key = unit(3, 4, 5).requires_grad_(), unit(3, 6, 5)
    positive = torch.tensor([[1, 1, 0, 0, 1, 0], [0] * 6, [1] * 6]).bool()
    expected = contrast_by_hand(query, key, positive, 0.2)
    (exact,) = torch.autograd.grad(3 * expected, query)
    value = point_contrast(query, key, positive, 0.2)
    (gradient,) = torch.autograd.grad(3 * value, query)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, exact)
    assert not gradient[1].any()


def test_two_points_and_their_region_by_numbers():
    # One image, one point (1, 0); keys (1, 0) of its region and (0, 1) of another: -log(e^5 / (e^5 + 1)) at 0.2.
    value = point_contrast(
        torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[True, False]]), 0.2
    )
    assert value.item() == pytest.approx(math.log1p(math.exp(-5)), rel=1e-4)


def test_a_batch_without_a_common_region_gives_a_zero_with_a_gradient():
    query = unit(2, 3, 4).requires_grad_()
    value = point_contrast(query, unit(2, 5, 4), torch.zeros(2, 5, dtype=torch.bool), 0.2)
    value.backward()
    assert value.item() == 0 and not query.grad.any()


def affinity_case():
    torch.manual_seed(0)
    batch_size, side, channels = 3, 5, 7
    student, teacher = (torch.randn(batch_size, 6, channels, dtype=torch.float64) for _ in range(2))
    center, weights = torch.randn(channels, dtype=torch.float64), interpolation(2, 3, side, student)
    own, other = (
        torch.tensor([[0, 0, 60, 50, 0, 100, 120]] * 3, dtype=torch.float64),
        torch.tensor(
            [[10, 5, 50, 60, 1, 100, 120], [0, 0, 60, 50, 0, 100, 120], [61, 51, 20, 20, 0, 100, 120]],
            dtype=torch.float64,
        ),
    )
    pairs = PointPairs.between(own, other, (32, 48), side, 0.5)
    return student, teacher, center, weights, pairs


def distillation_by_hand(student, teacher, center, weights, pairs, student_temperature, teacher_temperature):
    terms, logits = [], []
    paired = pairs.select(slice(None))
    for b, i, j in paired.nonzero().tolist():
        s, t = weights[i] @ student[b], weights[j] @ teacher[b]
        target = torch.softmax((t - center) / teacher_temperature, 0)
        terms.append(-(target * torch.log_softmax(s / student_temperature, 0)).sum())
        logits.append(t)
    return sum(terms) / len(terms), sum(logits) / len(logits), len(terms)


@pytest.mark.parametrize('chunk', [2**24, 400, 1])
def test_distillation_and_its_gradient_equal_the_sum_over_pairs(chunk, monkeypatch):
    monkeypatch.setattr(sys.modules['mmdecouple.models.losses.affinity_distillation'], '_CHUNK_ELEMENTS', chunk)
    student, teacher, center, weights, pairs = affinity_case()
    student.requires_grad_()
    arguments = teacher, center, weights, pairs, 0.1
    expected, _, number = distillation_by_hand(student, *arguments, 0.04)
    counts = pairs.select(slice(None)).sum((1, 2))
    assert number > 20 and counts[2] == 0 < counts[0] != counts[1]
    (exact,) = torch.autograd.grad(3 * expected, student)
    value = affinity_distillation(student, *arguments, torch.tensor(0.04))
    (gradient,) = torch.autograd.grad(3 * value, student)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, exact, rtol=1e-6, atol=1e-8)


def test_distillation_by_numbers():
    # One position, one point, one pair: softmax((ln 3 - 0) / 1, 0) = (3/4, 1/4) against equal logits: ln 2.
    one = PointPairs(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    arguments = torch.zeros(2), torch.ones(1, 1), one, 0.5, torch.tensor(1.0)
    teacher = torch.tensor([[[math.log(3), 0.0]]])
    assert affinity_distillation(torch.zeros(1, 1, 2), teacher, *arguments).item() == pytest.approx(math.log(2))
    # Against logits (1, 0) at temperature 0.5: 3/4 log(1 + e^-2) + 1/4 log(1 + e^2).
    student = torch.tensor([[[1.0, 0.0]]])
    expected = 0.75 * math.log1p(math.exp(-2)) + 0.25 * math.log1p(math.exp(2))
    assert affinity_distillation(student, teacher, *arguments).item() == pytest.approx(expected)


def test_views_without_pairs_give_a_zero_with_a_gradient():
    far = PointPairs(torch.full((2, 3, 3), 9.0), torch.full((2, 3, 3), 9.0))
    student = torch.randn(2, 4, 5).requires_grad_()
    value = affinity_distillation(
        student, torch.randn(2, 4, 5), torch.zeros(5), interpolation(2, 2, 3, student), far, 0.1, torch.tensor(0.04)
    )
    value.backward()
    assert value.item() == 0 and not student.grad.any()


def test_distillation_is_computed_in_float32_under_autocast():
    student, teacher, center, weights, pairs = affinity_case()
    arguments = teacher.float(), center.float(), weights.float(), PointPairs(*(part.float() for part in pairs)), 0.1
    expected = affinity_distillation(student, teacher, center, weights, pairs, 0.1, torch.tensor(0.04))
    with torch.autocast('cpu', torch.bfloat16):
        value = affinity_distillation(student.float(), *arguments, torch.tensor(0.04))
    assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_center_follows_the_mean_logits_of_all_pairs():
    student, teacher, center, weights, pairs = affinity_case()
    affinity = PointAffinity(points=4, prototypes=3, center_momentum=0.9).double()
    expected = torch.zeros(7, dtype=torch.float64)
    _, mean, _ = distillation_by_hand(student, teacher, center, weights, pairs, 0.1, 0.04)
    for _ in range(3):
        # Center.update takes in float32.
        affinity.center.value = affinity.center.value.float()
        affinity.update(teacher, weights, pairs)
        expected = 0.9 * expected + 0.1 * mean
    torch.testing.assert_close(affinity.center.value.double(), expected, rtol=1e-5, atol=1e-6)


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
    losses, drawn = model.base_loss(step), step.extras
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
        key, other = step.teacher['bottleneck'].double().chunk(2)
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


def our_name(official: str) -> str:
    """Our name of a parameter of the official network."""
    for theirs, ours in (
        ('fcs.', 'neck.mlp.'),
        ('fcs_2.mlp.', 'neck.affinity_mlp.'),
        ('fcs_2.last_layer.weight_v', 'neck.last_layer.parametrizations.weight.original1'),
    ):
        if official.startswith(theirs):
            return ours + official.removeprefix(theirs)
    return f'backbone.{official}'


def golden_model():
    """Our model with the weights of the golden file, in float64 and evaluation mode, as the official one ran."""
    model = build(
        plrc(
            backbone=dict(
                type='mmpretrain.ResNet', depth=50, base_channels=8, out_indices=(3,), norm_cfg=dict(type='BN')
            ),
            neck=dict(type='PointHead', in_channels=256),
            queue_length=65536,
            channels=128,
            point_grid=14,
            loss_weights=(1.0, 1.0, 1.0),
            affinity=dict(scale=1 / 128),
        )
    )
    state = {}
    for owner, prefix in (('student', ''), ('teacher', 'teacher.')):
        for name, value in formula.weights(owner, GOLDEN['weights']).items():
            state[f'{prefix}{our_name(name)}'] = value
    assert not model.load_state_dict(state, strict=False).unexpected_keys
    model.queue.keys.copy_(F.normalize(formula.tensor('queue', (65536, 128)).double(), dim=1))
    model.start_epoch(GOLDEN['epoch'])
    return model.double().eval()


@pytest.mark.usefixtures('in_float64')
def test_image_and_affinity_terms_and_the_center_equal_the_official_ones():
    sizes, model = GOLDEN['sizes'], golden_model()
    views = [formula.image(f'view {view}', sizes['batch'], sizes['image']).double() for view in range(3)]
    geometry = torch.tensor(
        [[[*windows[view], 160, 160] for windows in GOLDEN['windows']] for view in range(3)], dtype=torch.float64
    )
    step = Step(views, Samples(BaseDataElement(geometry=geometry[:, image]) for image in range(3)), geometry=geometry)
    step.extras = model.prepare(step, torch.Generator())
    forwarded(model, step)
    losses = model.base_loss(step)
    for name, expected in GOLDEN['terms'].items():
        # The release sums its terms in float32.
        assert losses[f'loss_{name}'].item() == pytest.approx(expected, rel=2e-7)
        watched = GOLDEN[f'gradient norms of {name}']
        trained = [model.get_parameter(our_name(official)) for official in watched]
        grads = torch.autograd.grad(losses[f'loss_{name}'], trained, allow_unused=True, retain_graph=True)
        norms = {official: 0.0 if grad is None else grad.norm().item() for official, grad in zip(watched, grads)}
        assert norms == pytest.approx(watched, rel=1e-6)
    pairs = PointPairs.between(geometry[0], geometry[2], (64, 64), 14, 0.5).select(slice(None))
    assert pairs.sum((1, 2)).tolist() == GOLDEN['pairs']['counts']
    assert [row[90].nonzero().flatten().tolist() for row in pairs] == GOLDEN['pairs']['of_first_point']
    model.update_memory(step)
    center, expected = model.affinity.center.value, GOLDEN['center']
    assert center.norm().item() == pytest.approx(expected['norm'], rel=1e-8)
    direction = formula.tensor('direction center', (1, len(center))).double()[0]
    assert (center * direction).sum().item() == pytest.approx(expected['projection'], rel=1e-7)
    assert center[:5].tolist() == pytest.approx(expected['first'], rel=1e-7)


def test_both_backbones_of_an_official_file_are_found_by_their_names():
    names = [f'encoder_{role}.enc.{name}' for role in 'qk' for name in GOLDEN['weights']]
    found = find_networks([*names, 'plrc_loss.queue_x', 'plrc_loss.self_distillation.center'])
    backbone = {name for name in GOLDEN['weights'] if not name.startswith('fcs')}
    assert found.format == 'plrc' and found.transferred == 'student'
    assert found.student == {name: f'encoder_q.enc.{name}' for name in backbone}
    assert found.teacher == {name: f'encoder_k.enc.{name}' for name in backbone}
