"""SoCo on a feature pyramid against the authors' code (golden numbers) and by hand."""

import re

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from .conftest import batch, begun, build, forwarded
from .golden import formula
from .golden_models import load
from .test_soco import BRANCH, neck, random_boxes, soco_fpn


def fpn_data(size: int = 4) -> dict:
    ids = torch.tensor([[1, 2, 3, 1], [1, 2, 3, 3]]).expand(2, 2, 4)
    samples = [
        BaseDataElement(boxes=torch.stack([one, two]), box_ids=ids)
        for one, two in zip(random_boxes(size, 0), random_boxes(size, 1))
    ]
    views = [batch(size, pixels, views=1, seed=seed)['inputs'][0] for seed, pixels in enumerate((64, 64, 32))]
    return dict(inputs=views, data_samples=samples)


FPN_NAMES = {
    r'^encoder\.': 'backbone.',
    r'^neck\.lateral_convs\.(\d)': r'neck.pyramid.inner_blocks.\1',
    r'^neck\.fpn_convs\.(\d)': r'neck.pyramid.layer_blocks.\1',
    r'(_blocks\.\d)\.conv': r'\1.0',
    r'(_blocks\.\d)\.bn': r'\1.1',
    r'^head\.(conv|bn)(\d)': lambda found: f'neck.convs.{int(found[2]) - 1}.{found[1]}',
    r'^head\.fc1': 'neck.fc',
    r'^projector\.': 'neck.projector.',
    r'\.linear1\.': '.fc0.',
    r'\.linear2\.': '.fc1.',
    r'(projector|predictor)\.bn1': r'\1.bn0',
}


def own_fpn_name(name: str) -> str:
    for official, own in FPN_NAMES.items():
        name = re.sub(official, own, name)
    return name


def test_the_four_terms_on_a_pyramid_equal_the_official_ones():
    """With batch norm by fixed statistics: the official head runs on every level of a box, ours on its own."""
    case, sizes = load('soco_fpn'), load('soco_fpn')['sizes']
    config = soco_fpn()
    config['neck'].update(
        limits=case['limits'], fc_channels=sizes['fc_channels'], projector=neck(sizes['fc_channels'], sizes['hidden'])
    )
    config['predictor'] = neck(sizes['out'], sizes['hidden'])
    model = build(config).eval()
    state = {own_fpn_name(name): value for name, value in formula.weights('student', case['weights']).items()}
    state.update(
        {
            f'teacher.{own_fpn_name(name)}': value
            for name, value in formula.weights('teacher', case['weights']).items()
            if not name.startswith('predictor')
        }
    )
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all('running' in name or 'num_batches' in name for name in missing)
    views = [formula.image(f'view {v}', sizes['batch'], side) for v, side in enumerate(sizes['images'])]
    ends = torch.tensor([0.0, 0, 1, 1])
    boxes = [
        [
            (torch.tensor(case['boxes'][pair][side]) + ends) / sizes['images'][pair + 1 if side else 0]
            for side in range(2)
        ]
        for pair in range(2)
    ]
    samples = [
        BaseDataElement(
            boxes=torch.stack([torch.stack([side[n] for side in pair]) for pair in boxes]),
            box_ids=torch.tensor(case['ids']),
        )
        for n in range(sizes['batch'])
    ]
    step = forwarded(model, model.begin(views, samples))
    levels = [regions.levels for regions in step.extras]
    for pair, (first, second) in enumerate(case['levels']):
        assert levels[0][:, 4 * pair : 4 * pair + 4].tolist() == first and levels[pair + 1].tolist() == second
    losses = model.base_loss(step)
    for name in ('12', '21', '13', '31'):
        assert losses[f'loss_{name}'].item() == pytest.approx(case[f'loss {name}'], rel=1e-5), name
    sum(losses.values()).backward()
    parameters = dict(model.named_parameters())
    norms = {name: parameters[own_fpn_name(name)].grad.norm().item() for name in case['gradient norms']}
    assert norms == pytest.approx(case['gradient norms'], rel=2e-4)


def test_levels_of_boxes_equal_the_official_ones():
    case, pyramid = load('soco')['levels'], build(soco_fpn()).neck
    assert list(pyramid.limits) == case['limits']
    sides = torch.tensor(case['width, height of boxes'], dtype=torch.float32)
    boxes = torch.cat([torch.zeros_like(sides), sides / 256], 1)
    assert pyramid.levels(boxes, (256, 256)).tolist() == case['level']


def test_pyramid_pairs_meet_by_id_where_both_have_a_level():
    model = build(soco_fpn()).train()
    step = forwarded(model, begun(model, fpn_data()))
    assert [tuple(regions.ids.shape) for regions in step.extras] == [(4, 8), (4, 4), (4, 4)]
    step.extras[2].levels[:, 0] = -1
    losses = model.base_loss(step)
    first = F.normalize(step.student['dense'][:, :8], dim=2)
    for name, pair, matches in (
        ('loss_12', 0, [(0, 0), (3, 0), (1, 1), (2, 2), (2, 3)]),
        ('loss_13', 1, [(1, 1), (2, 2), (2, 3)]),
    ):
        other = F.normalize(step.teacher['dense'][:, 8 + 4 * pair : 12 + 4 * pair], dim=2)
        by_hand = torch.stack([(first[:, 4 * pair + i] * other[:, j]).sum(1) for i, j in matches]).mean(0)
        assert losses[name].item() == pytest.approx(-2 * by_hand.mean().item(), rel=1e-4)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_soco_on_a_pyramid_has_no_decoupled_form():
    with pytest.raises(ValueError, match='SoCoFPN: decoupling needs a dense loss'):
        build({**soco_fpn(), 'decoupling': BRANCH})
