"""PLRC against the official model, where the release computes what the paper says (golden numbers)."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdecouple.models import Samples, Step
from mmdecouple.models.point_grid import PointPairs
from mmdecouple.weights.formats.resnet_names import find_networks

from .assembled import in_float64  # noqa: F401
from .conftest import build, forwarded
from .golden import formula
from .golden_models import load
from .test_plrc import plrc

GOLDEN = load('plrc')


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
