"""SoCo and SoCo-D against the authors' code (golden numbers) and against the contracts of the package."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdecouple.decoupling import Regions
from mmdecouple.decoupling.regions import uncut_fraction
from mmdecouple.engine.lars import SoCoLARS
from mmdecouple.models import Samples, Step
from mmdecouple.models.algorithms.soco import pair_loss

from .conftest import BRANCH, batch, begun, build, forwarded, losses_of
from .golden import formula
from .golden_models import load

GOLDEN = load('soco')
BRANCH = {**BRANCH, 'ratio': 0.5}


def neck(channels: int, hidden: int) -> dict:
    return dict(
        type='mmpretrain.NonLinearNeck',
        in_channels=channels,
        hid_channels=hidden,
        out_channels=16,
        num_layers=2,
        with_bias=True,
        with_last_bias=True,
        with_last_bn=False,
        with_avg_pool=False,
        norm_cfg=dict(type='BN1d'),
    )


def soco(**kwargs) -> dict:
    """Config of the golden file's SoCo: a ResNet-18 of eight channels for views of 64 pixels."""
    return {
        **dict(
            type='SoCo',
            neck=neck(64, 24),
            predictor=neck(16, 20),
            backbone=dict(
                type='mmpretrain.ResNet',
                depth=18,
                stem_channels=8,
                base_channels=8,
                norm_cfg=dict(type='BN'),
                zero_init_residual=False,
            ),
        ),
        **kwargs,
    }


def soco_fpn() -> dict:
    projector = dict(neck(12, 24), in_channels=12)
    return dict(
        type='SoCoFPN',
        predictor=neck(16, 20),
        neck=dict(
            type='RegionPyramid',
            in_channels=[8, 16, 32, 64],
            projector=projector,
            channels=8,
            fc_channels=12,
            norm_cfg=dict(type='BN'),
        ),
        backbone={**soco()['backbone'], 'out_indices': (0, 1, 2, 3)},
    )


def random_boxes(size: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(size, 2, 4, 2, generator=generator) * 0.5
    return torch.cat([low, low + 0.2 + 0.3 * torch.rand(size, 2, 4, 2, generator=generator)], 3)


def data(size: int = 8, ids: list[int] | None = None) -> dict:
    """A batch with four boxes a view."""
    ids = torch.tensor(ids or [1, 2, 3, 4]).expand(2, 4)
    samples = [BaseDataElement(boxes=boxes, box_ids=ids) for boxes in random_boxes(size)]
    return {**batch(size, 64), 'data_samples': samples}


def golden_model():
    model = build(soco()).train()
    parts = {
        'encoder': 'backbone',
        'projector': 'neck',
        'predictor': 'predictor',
        'linear1': 'fc0',
        'bn1': 'bn0',
        'linear2': 'fc1',
    }
    for owner, prefix in (('student', ''), ('teacher', 'teacher.')):
        state = {}
        for name, value in formula.weights(owner, GOLDEN['whole forward']['weights']).items():
            head, rest = name.split('.', 1)
            layer, _, tail = rest.partition('.')
            rest = rest if head == 'encoder' else f'{parts[layer]}.{tail}'
            if prefix and head == 'predictor':
                continue
            state[f'{prefix}{parts[head]}.{rest}'] = value
        _, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected
    return model


def test_loss_of_given_vectors_equals_the_official_one():
    case = GOLDEN['loss of given vectors']
    predictions, projections = (
        [formula.tensor(f'{kind} {v}', (16, 8)).view(4, 4, 8).requires_grad_() for v in (1, 2)]
        for kind in ('prediction', 'projection')
    )
    ids = torch.tensor(case['ids of view 1 and 2'])
    same = (ids[:, 0, :, None] == ids[:, 1, None]).float()
    assert formula.to_text(same.bool()) == case['matrices']
    first, second = (
        pair_loss(predictions[0], projections[1].detach(), same),
        pair_loss(predictions[1], projections[0].detach(), same.transpose(1, 2)),
    )
    assert [first.item(), second.item()] == pytest.approx([case['loss 12'], case['loss 21']], rel=1e-5)
    (first + second).backward()
    norms = [prediction.grad.flatten(0, 1).norm(dim=1).tolist() for prediction in predictions]
    for ours, theirs in zip(norms, case['gradient norms by prediction']):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-7)


def test_a_whole_step_equals_the_official_one():
    case, model = GOLDEN['whole forward'], golden_model()
    boxes = torch.tensor(case['boxes'])
    ids = [
        torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 0, 1]]),
        torch.tensor([[0, 1, 2, 3], [1, 3, 0, 2], [0, 1, 0, 1]]),
    ]
    assert torch.equal(ids[0][:, :, None] == ids[1][:, None], formula.from_text(case['matrices']))
    model.teacher.momentum = model.teacher.end_momentum = case['teacher momentum']
    model.update_teacher(0, 1)
    views = [formula.image(f'view {v}', 3, 64) for v in range(2)]
    regions = [Regions(view, number) for view, number in zip(boxes, ids)]
    step = forwarded(model, Step(views, Samples(), regions=regions))
    loss = sum(model.base_loss(step).values())
    assert loss.item() == pytest.approx(case['loss'], rel=1e-5)
    loss.backward()
    names = {
        'encoder': 'backbone',
        'projector.linear1': 'neck.fc0',
        'projector.bn1': 'neck.bn0',
        'projector.linear2': 'neck.fc1',
        'predictor.linear1': 'predictor.fc0',
        'predictor.bn1': 'predictor.bn0',
        'predictor.linear2': 'predictor.fc1',
    }

    def ours(name: str) -> str:
        for theirs, own in names.items():
            name = name.replace(theirs, own, 1) if name.startswith(theirs) else name
        return name

    parameters = dict(model.named_parameters())
    norms = {name: parameters[ours(name)].grad.norm().item() for name in case['gradient norms']}
    assert norms == pytest.approx(case['gradient norms'], rel=2e-4)
    norms = {name: parameters[f'teacher.{ours(name)}'].norm().item() for name in case['norms of the updated teacher']}
    assert norms == pytest.approx(case['norms of the updated teacher'], rel=1e-5)


def test_three_steps_of_lars_equal_the_official_ones():
    case = GOLDEN['lars']
    parameters = {
        name: torch.nn.Parameter(
            torch.zeros(shape) if name == 'zeros' else formula.tensor(f'lars {name}', tuple(shape))
        )
        for name, shape in case['shapes'].items()
    }
    optimizer = SoCoLARS(
        list(parameters.values()),
        lr=1.0,
        momentum=case['momentum'],
        weight_decay=case['weight decay'],
        trust=case['trust'],
        eps=case['eps'],
    )
    for step, (lr, expected) in enumerate(zip(case['learning rates'], case['after each step'])):
        optimizer.param_groups[0]['lr'] = lr
        for name, parameter in parameters.items():
            parameter.grad = formula.tensor(f'lars gradient {name} step {step}', tuple(parameter.shape))
        optimizer.step()
        for name, parameter in parameters.items():
            assert parameter.flatten().tolist() == pytest.approx(expected[name], rel=1e-5, abs=1e-7), name


def test_same_ids_correspond_crosswise_whatever_their_place():
    model = build(soco()).train()
    prediction, projection = torch.randn(1, 4, 16), torch.randn(2, 4, 16)
    regions = [Regions(torch.empty(1, 4, 4), torch.tensor([ids])) for ids in ([1, 2, 3, 1], [3, 1, 2, 2])]
    losses = model.base_loss(
        Step(
            [], Samples(), regions=regions, teacher={'dense': projection}, student={'dense': prediction.repeat(2, 1, 1)}
        )
    )
    pairs = [(0, 1), (1, 2), (1, 3), (2, 0), (3, 1)]
    similarity = [F.cosine_similarity(prediction[0, i], projection[1, j], dim=0) for i, j in pairs]
    assert losses['loss_12'].item() == pytest.approx(-2 * sum(similarity).item() / 5, rel=1e-5)
    similarity = [F.cosine_similarity(prediction[0, j], projection[0, i], dim=0) for i, j in pairs]
    assert losses['loss_21'].item() == pytest.approx(-2 * sum(similarity).item() / 5, rel=1e-5)


def test_uncut_fraction_of_a_region_is_what_its_cells_say():
    cut = torch.zeros(1, 8, 8, dtype=torch.bool)
    cut[0, :, :4] = True
    boxes = torch.tensor([[[0.0, 0, 0.5, 1], [0.5, 0, 1, 1], [0.25, 0.25, 0.75, 0.75]]])
    share = uncut_fraction(cut, boxes, 4).mean((2, 3))[0]
    assert share[0] < 0.15 and share[1] > 0.85 and share[2].item() == pytest.approx(0.5, abs=0.01)


def test_decoupling_loss_equals_eq_17_by_hand():
    model = build(soco(decoupling=BRANCH)).train()
    step = forwarded(model, begun(model, data(ids=[1, 2, 2, 4])))
    decoupled, dense, teacher, total = step.decoupled, step.dense, step.teacher, []
    assert (decoupled.rows < 8).all() and len(decoupled.rows) == 4
    for d, row in enumerate(decoupled.rows.tolist()):
        left = uncut_fraction(decoupled.cut_mask[d : d + 1], step.regions[0].boxes[row : row + 1], 7).mean((2, 3))[0]
        counted = [k for k in (0, 1, 3) if left[k] > 1e-3]
        terms = [-4 * F.cosine_similarity(dense[d, k], teacher['dense'][row, k], dim=0) for k in counted]
        total.append(sum(terms) / max(len(terms), 1))
    value = model.decoupling({}, dense, teacher['dense'][decoupled.rows], decoupled.foreground, model)['decoupling']
    assert value.item() == pytest.approx((sum(total) / len(total)).item(), rel=1e-5)


def test_a_student_pools_a_proposal_over_what_the_mask_leaves():
    model = build(soco()).eval()
    view, boxes = torch.randn(1, 3, 64, 64), torch.tensor([[[0.0, 0, 1, 1]] * 4])
    cut = torch.zeros(1, 4, 4, dtype=torch.bool)
    whole = model.encode(model.backbone, model.neck, view, boxes)
    for left, same in ((cut.clone(), True), (cut.index_fill_(2, torch.tensor([0, 1]), True), False)):
        pooled = model.encode(model.backbone, model.neck, view, boxes, uncut_fraction(left, boxes, model.region_bins))
        assert torch.allclose(pooled, whole, atol=1e-4) == same


def test_masks_are_drawn_on_the_proposals_after_the_flip():
    half = dict(BRANCH, mask_stride=8, ratio=1.0, mask=dict(BRANCH['mask'], cut_ratio=0.5))
    branch = build(soco(decoupling=half)).decoupling
    boxes = torch.tensor([[0.625, 0.5, 0.875, 1.0]]).expand(8, 4, 4)
    regions = Regions(boxes, torch.arange(4).expand(8, 4))
    made = branch.compose([torch.randn(8, 3, 64, 64)], (4, 4), torch.Generator().manual_seed(0), regions)
    cut = made.cut_mask
    assert cut.any() and not cut[:, :4].any() and not cut[:, :, :5].any() and not cut[:, :, 7:].any()


def test_masks_on_proposals_need_not_divide_into_the_dense_output():
    branch = build(soco(decoupling=dict(BRANCH, mask_stride=8))).decoupling
    regions = Regions(random_boxes(4)[:, 0], torch.arange(4).expand(4, 4))
    made = branch.compose([torch.randn(4, 3, 56, 56)], (4, 4), torch.Generator().manual_seed(0), regions)
    assert made.cut_mask.shape[1:] == (7, 7) and made.foreground.mask.shape[1] == 4


def test_lambda_zero_is_the_base_method_bit_for_bit():
    runs = []
    for branch in (None, {**BRANCH, 'loss_weight': 0.0}):
        model = build(soco(decoupling=branch)).train()
        optimizer = SoCoLARS([p for p in model.parameters() if p.requires_grad], 1.0)
        for step in range(2):
            losses = losses_of(model, data(), step)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            model.update_teacher(step, 2)
        runs.append(model.state_dict())
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


def test_every_trained_parameter_gets_a_gradient_and_the_teacher_sees_no_decoupled_view():
    model = build(soco(decoupling=BRANCH)).train()
    seen = []
    model.teacher.backbone.conv1.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    losses = losses_of(model, data())
    assert set(losses) == {'loss_12', 'loss_21', 'loss_decoupling', 'decoupling', 'foreground_share'}
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    assert seen == [8, 8]
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_samples_without_boxes_get_one_line():
    with pytest.raises(ValueError, match='SoCo: the samples have no boxes.*BoxViews') as caught:
        losses_of(build(soco()), batch(4, 64))
    assert '\n' not in str(caught.value)


def test_cutouts_lie_in_their_boxes_as_the_view_shows_them():
    from mmdecouple.models import CutBoxes

    boxes = torch.tensor([[0.5, 0.25, 0.75, 0.75]]).expand(2, 4, 4)
    samples = [BaseDataElement(boxes=boxes, box_ids=torch.ones(2, 4, dtype=torch.long)) for _ in range(300)]
    views = [torch.ones(300, 3, 32, 32), torch.ones(300, 3, 32, 32)]
    stage = CutBoxes(prob=0.5, area=(0.1, 0.3))
    made = stage(dict(inputs=views, data_samples=Samples(samples)), torch.Generator().manual_seed(0))['inputs']
    assert torch.equal(made[0], views[0])
    cut = (made[1] == 0).all(1)
    assert not cut[:, :, :12].any() and not cut[:, :, 28:].any() and cut[:, 8:24, 16:24].any()
    untouched = (~cut.flatten(1).any(1)).float().mean().item()
    assert untouched == pytest.approx(0.5**4, abs=0.04)
    single = CutBoxes(prob=1.0, area=(0.2, 0.2))
    samples = [BaseDataElement(boxes=boxes[:, :1], box_ids=torch.ones(2, 1, dtype=torch.long)) for _ in range(300)]
    cut = (
        single(dict(inputs=views, data_samples=Samples(samples)), torch.Generator().manual_seed(0))['inputs'][1] == 0
    ).all(1)
    assert cut.float().sum((1, 2)).mean().item() == pytest.approx(0.2 * 8 * 16, rel=0.05)


def test_rcc_on_regions_cuts_inside_them():
    from mmdecouple.models import CutViews

    stage = CutViews(mask=dict(BRANCH['mask'], cut_ratio=0.5), views=(1,), mask_stride=8, on_regions=True)
    boxes = torch.tensor([[0.625, 0.5, 0.875, 1.0]]).expand(2, 4, 4)
    samples = [BaseDataElement(boxes=boxes, box_ids=torch.ones(2, 4, dtype=torch.long)) for _ in range(8)]
    views = [torch.ones(8, 3, 64, 64), torch.ones(8, 3, 64, 64)]
    made = stage(dict(inputs=views, data_samples=Samples(samples)), torch.Generator().manual_seed(0))['inputs']
    cut = (made[1] == 0).all(1)
    assert torch.equal(made[0], views[0]) and cut.any()
    assert not cut[:, :32].any() and not cut[:, :, :40].any() and not cut[:, :, 56:].any()
