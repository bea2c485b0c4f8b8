"""PixPro and PixPro-D against the authors' code (golden numbers), by hand and against the contracts of the package."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import BaseDataElement

from mmdecouple.engine.lars import SoCoLARS
from mmdecouple.models import PixelPropagationModule, Samples, Step
from mmdecouple.models.algorithms.soco import pair_loss
from mmdecouple.models.close_pairs import close_pairs
from mmdecouple.registry import TRANSFORMS

from .conftest import BRANCH, RESNET, batch, begun, build, forwarded, losses_of
from .golden import formula
from .golden_models import load

GOLDEN = load('pixpro')
BN = dict(type='BN')
BRANCH = {**BRANCH, 'ratio': 0.5}
# Crop windows x, y, w, h and flip of both views of an image of 120 x 150 pixels: they overlap in part.
WINDOWS = [(10.0, 20.0, 90.0, 80.0, 0.0), (40.0, 30.0, 80.0, 90.0, 1.0)]


def pixpro(**kwargs) -> dict:
    """Config of a PixPro for views of 32 pixels: stride 8, 4 x 4 positions."""
    return {
        **dict(
            type='PixPro',
            backbone=RESNET,
            neck=dict(type='PixelHeads', in_channels=32, hidden_channels=24, out_channels=16, norm_cfg=BN),
            predictor=dict(type='PixelPropagationModule', channels=16),
        ),
        **kwargs,
    }


def with_instance(config: dict, weight: float = 0.4, hidden: int = 20) -> dict:
    """The same with the instance branch."""
    predictor = dict(type='PixelMLP', in_channels=16, hidden_channels=hidden, out_channels=16, norm_cfg=BN)
    return {
        **config,
        'neck': {**config['neck'], 'instance': True},
        'instance_predictor': predictor,
        'instance_weight': weight,
    }


def golden_pixpro() -> dict:
    """Config of the golden file's PixPro."""
    backbone = dict(
        type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=BN, zero_init_residual=False
    )
    neck = dict(type='PixelHeads', in_channels=64, hidden_channels=24, out_channels=16, norm_cfg=BN)
    return pixpro(backbone=backbone, neck=neck)


def data(size: int = 8) -> dict:
    """A batch of two views with the crop windows from above, moved a little from image to image."""
    geometry = torch.tensor([[*window, 120.0, 150.0] for window in WINDOWS])
    moved = [geometry + torch.tensor([n, -n, 0, 0, 0, 0, 0.0]) for n in range(size)]
    return {**batch(size), 'data_samples': [BaseDataElement(geometry=each) for each in moved]}


def geometry_of(windows: list) -> torch.Tensor:
    """Geometry (2, B, 7) of a golden file's windows: source width and height, x, y, w, h, flip."""
    rows = torch.tensor(windows, dtype=torch.float32)
    return rows[..., [2, 3, 4, 5, 6, 1, 0]].transpose(0, 1)


def own_name(name: str) -> str:
    """Our name of a parameter of the official model."""
    parts = {
        'encoder': 'backbone',
        'projector': 'neck.dense',
        'projector_instance': 'neck.instance',
        'value_transform': 'predictor.transform',
        'predictor': 'instance_predictor',
    }
    part, rest = name.split('.', 1)
    return f'{parts[part]}.{rest}'


def test_the_close_pairs_are_those_of_the_official_loss():
    close = close_pairs(geometry_of(GOLDEN['windows']), (4, 4), 0.7)
    assert formula.to_text(close.int()) == GOLDEN['given maps']['close pairs']


@pytest.mark.parametrize('threshold', ['0.3', '0.7', '1.5'])
def test_the_loss_of_given_maps_equals_the_official_one(threshold):
    predictions, projections = (
        [formula.tensor(f'{kind} {v}', (3, 16, 4, 4)).flatten(2).transpose(1, 2) for v in range(2)]
        for kind in ('prediction', 'projection')
    )
    close = close_pairs(geometry_of(GOLDEN['windows']), (4, 4), float(threshold))
    found = [
        pair_loss(predictions[0], projections[1], close).item(),
        pair_loss(predictions[1], projections[0], close.transpose(1, 2)).item(),
    ]
    assert found == pytest.approx(GOLDEN['given maps']['losses'][threshold], rel=1e-5)


@pytest.mark.parametrize('layers', [0, 1, 2])
@pytest.mark.parametrize('gamma', [2.0, 1.0, 0.5])
def test_propagated_features_equal_the_official_ones(layers, gamma):
    module = PixelPropagationModule(16, gamma, layers, BN)
    for name, parameter in module.transform.named_parameters():
        parameter.data.copy_(formula.weight('student', name, tuple(parameter.shape)))
    dense = formula.tensor('features', (2, 16, 4, 4)).flatten(2).transpose(1, 2)
    made = module(dense).transpose(1, 2).unflatten(2, (4, 4))
    direction = formula.tensor('direction', tuple(made.shape))
    found = [made.norm().item(), (made * direction).sum().item()]
    assert found == pytest.approx(GOLDEN['propagation'][f'{layers} layers, power {gamma}'], rel=2e-5)


def test_a_whole_step_with_the_instance_branch_equals_the_official_one():
    case = GOLDEN['whole forward']
    model = build(with_instance(golden_pixpro())).train()
    state = {}
    for owner, prefix in (('student', ''), ('teacher', 'teacher.')):
        for name, value in formula.weights(owner, case['weights']).items():
            if owner == 'student' or name.startswith(('encoder', 'projector')):
                state[prefix + own_name(name)] = value
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all('running' in name or 'num_batches' in name for name in missing)
    model.teacher.momentum = model.teacher.end_momentum = case['teacher momentum']
    model.update_teacher(0, 1)
    views = [formula.image(f'view {v}', 3, 128) for v in range(2)]
    step = forwarded(model, Step(views, Samples(), geometry=geometry_of(GOLDEN['windows'])))
    loss = sum(model.base_loss(step).values())
    assert loss.item() == pytest.approx(case['loss'], rel=1e-4)
    loss.backward()
    parameters = dict(model.named_parameters())
    norms = {name: parameters[own_name(name)].grad.norm().item() for name in case['gradient norms']}
    assert norms == pytest.approx(case['gradient norms'], rel=2e-4)
    norms = {
        name: parameters[f'teacher.{own_name(name)}'].norm().item() for name in case['norms of the updated teacher']
    }
    assert norms == pytest.approx(case['norms of the updated teacher'], rel=1e-5)


def test_close_positions_show_the_same_place_of_a_drawn_image():
    """The image has its own coordinates as colors, so a view's cell shows where it is, flipped or not."""
    height, width, side = 200, 240, 56
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0], image[..., 1] = np.arange(width)[None], np.arange(height)[:, None]
    crop = [dict(type='RandomResizedCropView', size=side, scale=(0.2, 0.7)), dict(type='RandomFlipView', prob=0.5)]
    pipeline = [
        TRANSFORMS.build(transform)
        for transform in (dict(type='MultiView', views=[crop], num_views=[2]), dict(type='PackViews'))
    ]
    flips, shared = set(), 0
    for seed in range(30):
        torch.manual_seed(seed)
        np.random.seed(seed)
        sample = dict(img=image.copy(), ori_shape=(height, width), img_path='drawn', sample_idx=seed)
        for transform in pipeline:
            sample = transform(sample)
        geometry = sample['data_samples'].geometry
        flips.add(tuple(geometry[:, 4].tolist()))
        # The mean color of a cell is the place of its center, but for half a pixel.
        places = [
            F.adaptive_avg_pool2d(view[:2].double(), 7).flatten(1).T / torch.tensor([width - 1, height - 1])
            for view in sample['inputs']
        ]
        cells = geometry[:, 2:4] / 7 / torch.tensor([width - 1, height - 1])
        distance = torch.cdist(*places) / cells.norm(dim=1).max()
        close = close_pairs(geometry[:, None], (7, 7), 0.7)[0].bool()
        assert distance[close].numel() == 0 or distance[close].max() < 0.75
        assert distance[~close].min() > 0.65
        shared += int(close.sum())
    assert len(flips) == 4 and shared > 300


windows = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(2, 60), st.integers(2, 60), st.booleans())


@given(windows, windows, st.sampled_from([0.3137, 0.7013, 1.2217]))
@settings(max_examples=60, deadline=None)
def test_the_pairs_of_two_views_do_not_depend_on_their_order_or_a_common_mirror(one, other, threshold):
    geometry = torch.tensor([[[*map(float, window), 80.0, 81.0]] for window in (one, other)], dtype=torch.float64)
    close = close_pairs(geometry, (3, 4), threshold)
    assert torch.equal(close_pairs(geometry.flip(0), (3, 4), threshold), close.transpose(1, 2))
    same = close_pairs(geometry[[0, 0]], (3, 4), 1e-3)
    assert torch.equal(same[0], torch.eye(12, dtype=torch.float64))
    mirrored = geometry.clone()
    mirrored[..., 4] = 1 - mirrored[..., 4]
    columns = torch.arange(12).view(3, 4).flip(1).flatten()
    assert torch.equal(close_pairs(mirrored, (3, 4), threshold), close[:, columns][:, :, columns])


def test_propagation_of_two_positions_by_hand():
    module = PixelPropagationModule(2, gamma=2.0, layers=0)
    dense = torch.tensor([[[3.0, 4.0], [0.0, 2.0], [0.0, -1.0]]])
    # Cosines 0.8 between the first two, negative with the third; the transformed features have unit length.
    expected = torch.tensor([[[0.6, 0.8 + 0.64], [0.64 * 0.6, 0.64 * 0.8 + 1], [0.0, -1.0]]])
    assert torch.allclose(module(dense), expected, atol=1e-6)


def test_propagation_and_loss_are_in_float32_under_autocast():
    model = build(pixpro()).train()
    dense = torch.randn(2, 16, 16)
    with torch.autocast('cpu', torch.bfloat16):
        under = model.predict(dense)
        step = begun(model, data())
        step.student = step.teacher = {'dense': torch.randn(16, 16, 16)}
        losses = model.base_loss(step)
    assert under.dtype == torch.float32 and torch.equal(under, model.predict(dense))
    assert all(torch.equal(value, losses[name]) for name, value in model.base_loss(step).items())


def test_views_that_share_nothing_cost_nothing_and_leave_finite_gradients():
    model = build(pixpro()).train()
    apart = data(2)
    for sample in apart['data_samples']:
        sample.geometry[:, :5] = torch.tensor([[0.0, 0, 40, 40, 0], [90, 70, 40, 40, 0]])
    losses = losses_of(model, apart)
    assert losses['loss_12'].item() == losses['loss_21'].item() == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_decoupling_loss_is_minus_four_cosines_on_the_foreground_by_hand():
    model = build(pixpro(decoupling=BRANCH)).train()
    step, total = forwarded(model, begun(model, data())), []
    decoupled, dense, teacher = step.decoupled, step.dense, step.teacher['dense']
    assert sorted((decoupled.rows >= 8).tolist()) == [False, False, True, True]
    for d, row in enumerate(decoupled.rows.tolist()):
        uncut = (~decoupled.cut_mask[d]).flatten().nonzero()[:, 0].tolist()
        terms = [-4 * F.cosine_similarity(dense[d, j], teacher[row, j], dim=0) for j in uncut]
        total.append(sum(terms) / len(terms))
    value = model.decoupling({}, dense, teacher[decoupled.rows], decoupled.foreground, model)['decoupling']
    assert value.item() == pytest.approx((sum(total) / len(total)).item(), rel=1e-5)


def test_a_decoupled_view_runs_with_the_view_that_it_is_made_of():
    model = build(pixpro(decoupling={**BRANCH, 'background': 'none'})).eval()
    step = forwarded(model, begun(model, data()))
    sizes = []
    model.backbone.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    model.student_forward(step)
    assert sizes == [10, 10]
    assert torch.allclose(step.dense, step.student['dense'][step.decoupled.rows], atol=1e-5)


def test_lambda_zero_is_the_base_method_bit_for_bit():
    runs = []
    for branch in (None, {**BRANCH, 'loss_weight': 0.0}):
        model = build(pixpro(decoupling=branch)).train()
        optimizer = SoCoLARS([p for p in model.parameters() if p.requires_grad], 1.0)
        for step in range(2):
            losses = losses_of(model, data(), step)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            model.update_teacher(step, 2)
        runs.append(model.state_dict())
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


@pytest.mark.parametrize('instance', [False, True])
def test_every_trained_parameter_gets_a_gradient_and_the_teacher_sees_no_decoupled_view(instance):
    config = pixpro(decoupling=BRANCH)
    model = build(with_instance(config) if instance else config).train()
    seen = []
    model.teacher.backbone.conv1.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    losses = losses_of(model, data())
    terms = {'loss_12', 'loss_21', 'loss_decoupling', 'decoupling', 'foreground_share'}
    assert set(losses) == terms | ({'loss_instance'} if instance else set())
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    assert seen == [8, 8]
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert not any(name.startswith(('predictor', 'instance_predictor')) for name, _ in model.teacher.named_modules())


def test_the_propagation_of_the_student_uses_the_background_too():
    """The features of a foreground position take in those of the cut cells, as in the network that is trained."""
    model = build(pixpro(decoupling=BRANCH)).eval()
    dense = torch.randn(1, 16, 16)
    changed = dense.clone()
    changed[:, 8:] = torch.randn(8, 16)
    assert not torch.allclose(model.predict(dense)[:, :8], model.predict(changed)[:, :8])


def test_halves_of_an_instance_branch_are_refused_in_one_line():
    whole = with_instance(pixpro())
    for config in ({**whole, 'instance_predictor': None}, {**whole, 'neck': pixpro()['neck']}):
        with pytest.raises(ValueError, match=r'PixPro: instance_predictor .*neck\.instance.*model\.') as caught:
            build(config)
        assert '\n' not in str(caught.value)


def test_samples_without_geometry_get_one_line():
    with pytest.raises(ValueError, match='PixPro: the samples have no geometry.*PackViews') as caught:
        losses_of(build(pixpro()), batch(4))
    assert '\n' not in str(caught.value)
