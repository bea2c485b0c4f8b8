"""Learning rate, weight decay and teacher momentum follow the official formulas at every iteration."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch import nn
from torch.utils.data import DataLoader

from mmdecouple.datasets import EpochSampler
from mmdecouple.engine import WarmupCosineLR
from mmdecouple.models.teachers import EMATeacher
from mmdecouple.registry import HOOKS
from mmdecouple.utils.configs import load_config

from .test_loops import Items
from .toy import Toy, make_runner

SCHEDULES = Path(__file__).parents[2] / 'configs' / '_base_' / 'schedules'
GOLDEN = Path(__file__).parents[1] / 'test_models' / 'golden'


def dino(base, final, steps, warmup=0):
    """`cosine_scheduler` of facebookresearch/dino, written from its definition."""
    index = np.arange(steps - warmup)
    cosine = final + 0.5 * (base - final) * (1 + np.cos(np.pi * index / len(index)))
    return np.concatenate([np.linspace(0, base, warmup), cosine])


def maskalign(base, final, steps, warmup):
    """`adjust_learning_rate` of OpenDriveLab/maskalign, as a function of the iteration."""
    index = np.arange(steps)
    cosine = final + (base - final) * 0.5 * (1 + np.cos(np.pi * (index - warmup) / (steps - warmup)))
    return np.where(index < warmup, base * index / warmup, cosine)


class Layered(Toy):
    """Parameters of both groups, and one that stands for the head's last layer."""

    def __init__(self):
        super().__init__()
        self.neck = nn.Module()
        self.neck.weights = nn.Parameter(torch.eye(2))
        self.last_layer = nn.Linear(2, 2)
        self.epochs = []

    def forward(self, inputs, mode='loss'):
        losses = super().forward(inputs, mode)
        losses['loss_last'] = self.last_layer(inputs.float() @ self.neck.weights).square().mean()
        return losses

    def start_epoch(self, epoch):
        self.epochs.append((epoch, self.calls))

    def frozen(self, epoch):
        return self.last_layer.parameters() if epoch < 1 else ()


class Calm(Layered):
    """Losses so small that SoCo's lr of 8 leaves every weight finite."""

    def forward(self, inputs, mode='loss'):
        return {name: 1e-4 * value for name, value in super().forward(inputs, mode).items()}


@HOOKS.register_module()
class RatesHook(Hook):
    """Notes (iteration, lr and weight decay of both groups) before each iteration."""

    def __init__(self, rates):
        self.rates = rates

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(
            (
                runner.iter,
                *((group['lr'], group['weight_decay']) for group in runner.optim_wrapper.optimizer.param_groups),
            )
        )


@HOOKS.register_module()
class StopHook(Hook):
    """Ends the program after an iteration, behind the hooks that save."""

    priority = 'LOWEST'

    def __init__(self, iteration):
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            raise SystemExit(0)


def run(work_dir, recipe, hooks=(), epochs=None, model=None, resume=False, every=100, batch=2, **changes):
    """Rates of a toy run of 8 samples an epoch under a shipped schedule."""
    config = load_config(str(SCHEDULES / f'{recipe}.py'), changes)
    rates, items = [], Items()
    runner = make_runner(
        work_dir,
        model or Layered(),
        [dict(type='RatesHook', rates=rates), *hooks],
        resume=resume,
        epochs=epochs or config.train_cfg.max_epochs,
        param_scheduler=config.param_scheduler,
        auto_scale_lr=config.auto_scale_lr,
        loader=DataLoader(items, batch_size=batch, sampler=EpochSampler(items, seed=3)),
        checkpoint=dict(type='DurableCheckpointHook', interval=every, by_epoch=False, save_last=False),
    )
    runner.optim_wrapper = config.optim_wrapper
    runner.train()
    return rates


@pytest.mark.parametrize(
    'recipe, lr, decay',
    [
        ('adamw_ibot_200e', dino(2e-3, 1e-6, 400, 20), dino(0.04, 0.4, 400)),
        ('adamw_maskalign_200e', maskalign(1.2e-3, 1e-5, 400, 40), np.full(400, 0.05)),
    ],
)
def test_a_run_of_200_epochs_follows_the_official_schedule(tmp_path, recipe, lr, decay):
    rates = run(tmp_path, recipe, batch=4)
    assert [entry[0] for entry in rates] == list(range(400))
    found = np.array([entry[1:] for entry in rates])
    for group in range(2):
        np.testing.assert_allclose(found[:, group, 0], lr, rtol=1e-12)
    np.testing.assert_allclose(found[:, 0, 1], decay, rtol=1e-12)
    assert not found[:, 1, 1].any()


def golden(method):
    """The authors' schedules over 140 iterations, 70 of them SoCo's warm-up, at ten of these."""
    return json.loads((GOLDEN / f'{method}.json').read_text())['schedules']


def test_soco_follows_the_authors_schedules(tmp_path):
    official, momentum = (golden('soco')[name] for name in ('learning rate', 'teacher momentum'))
    assert (official['warmup_epochs'], official['iterations_per_epoch'], official['base']) == (10, 7, 8.0)
    rates = run(tmp_path, 'soco_lars_800e', epochs=70, batch=4, model=Calm(), **{'param_scheduler.0.warmup': 35})
    found = np.array([entry[1][0] for entry in rates])[official['points']]
    np.testing.assert_allclose(found, official['values'], rtol=1e-8)
    assert {entry[1][1] for entry in rates} == {1e-5}
    teacher = EMATeacher(dict(backbone=nn.Linear(2, 2)), momentum=momentum['start'], end_momentum=1.0)
    np.testing.assert_allclose([teacher.momentum_at(i, 140) for i in momentum['points']], momentum['values'], rtol=1e-8)


def test_pixpro_follows_the_formula_of_the_authors_scheduler(tmp_path):
    """`GradualWarmupScheduler` before a cosine, as contrast/lr_scheduler.py of zdaxie/PixPro has them."""
    rates = run(tmp_path, 'pixpro_lars_800e', epochs=20, batch=4, model=Calm())
    warmup = [4.0 / 100 * (99 * i / 10 + 1) for i in range(10)]
    cosine = [1e-6 + (4.0 - 1e-6) * (1 + np.cos(np.pi * i / 30)) / 2 for i in range(30)]
    np.testing.assert_allclose([entry[1][0] for entry in rates], warmup + cosine, rtol=1e-10)
    assert {entry[1][1] for entry in rates} == {1e-5}


def test_leopart_follows_the_authors_schedules_in_four_groups(tmp_path):
    official = golden('leopart')
    rates = run(tmp_path, 'adamw_leopart_50e', epochs=70, batch=4)
    assert len(rates) == official['epochs'] * official['iterations_per_epoch'] == 140
    found = np.array([entry[1:] for entry in rates])[official['points']]
    for group, (name, decayed) in enumerate(
        (name, decayed) for name in ('the backbone', 'head and prototypes') for decayed in (True, False)
    ):
        np.testing.assert_allclose(found[:, group, 0], official[f'learning rate of {name}'], rtol=1e-8)
        expected = official['weight decay'] if decayed else np.zeros(10)
        np.testing.assert_allclose(found[:, group, 1], expected, rtol=1e-8)
    teacher = EMATeacher(dict(backbone=nn.Linear(2, 2)), momentum=0.9995, end_momentum=1.0)
    np.testing.assert_allclose(
        [teacher.momentum_at(i, 140) for i in official['points']], official['teacher momentum'], rtol=1e-8
    )


@pytest.mark.parametrize(
    'kind, endpoint, official, warmup', [('ibot', True, dino, 10), ('maskalign', False, maskalign, 40)]
)
def test_ten_points_of_800_epochs_of_coco_are_the_official_ones(kind, endpoint, official, warmup):
    length = 231 if kind == 'ibot' else 115
    config = load_config(str(SCHEDULES / f'adamw_{kind}_800e.py'))
    base, final = config.optim_wrapper.optimizer.lr, config.param_scheduler[0].eta_min
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
    schedule = WarmupCosineLR.build_iter_from_epoch(
        optimizer,
        warmup=config.param_scheduler[0].warmup,
        eta_min=final,
        end=800,
        epoch_length=length,
        warmup_endpoint=config.param_scheduler[0].get('warmup_endpoint', True),
    )
    expected = official(base, final, 800 * length, warmup * length)
    start = warmup * length
    for point in (0, 1, start // 2, start - 1, start, start + 1, 20_000, 50_000, 90_000, 800 * length - 1):
        schedule.last_step = point
        assert schedule._get_value()[0] == pytest.approx(expected[point], rel=1e-12)


def test_the_teachers_momentum_is_dinos_cosine_from_0_996_to_1():
    teacher = EMATeacher(dict(backbone=nn.Linear(2, 2)), momentum=0.996, end_momentum=1.0)
    expected = dino(0.996, 1, 184_800)
    for step in (0, 1, 10, 231, 5_000, 20_000, 92_400, 150_000, 184_798, 184_799):
        assert teacher.momentum_at(step, 184_800) == pytest.approx(expected[step], rel=1e-12)


SHORT = {'param_scheduler.0.warmup': 1}


@pytest.mark.parametrize('cut', [3, 4, 6])
def test_a_resumed_run_has_the_rates_and_weights_of_the_uninterrupted_one(tmp_path, cut):
    hooks = [dict(type='TeacherHook')]

    def go(folder, **options):
        torch.manual_seed(0)
        return run(tmp_path / folder, 'adamw_ibot_200e', hooks, epochs=options.pop('epochs', 2), **SHORT, **options)

    whole, begun, resumed = Layered(), Layered(), Layered()
    for model in (begun, resumed):
        model.load_state_dict(whole.state_dict())
    expected = go('whole', model=whole)
    stop = dict(type='StopHook', iteration=cut)
    hooks.append(stop)
    with pytest.raises(SystemExit):
        go('cut', model=begun, every=cut)
    hooks.remove(stop)
    assert go('cut', model=resumed, resume=True) == expected[cut:]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert {calls: epoch for epoch, calls in whole.epochs} == {0: 0, 4: 1}
    assert {calls: epoch for epoch, calls in resumed.epochs}[0] == cut // 4


def test_the_learning_rate_scales_with_the_batch_in_both_groups(tmp_path):
    rates = run(tmp_path, 'adamw_ibot_200e', epochs=2, **SHORT, **{'auto_scale_lr.enable': True})
    assert max(entry[1][0] for entry in rates) == max(entry[2][0] for entry in rates) == 2e-3 * 2 / 512


def test_a_batch_that_the_learning_rate_is_not_for_is_told_in_pre_training(tmp_path):
    for name, options in (('told', {}), ('scaled', {'auto_scale_lr.enable': True})):
        run(tmp_path / name, 'adamw_ibot_200e', epochs=2, **SHORT, **options)
        log = next((tmp_path / name).glob('*/*.log')).read_text()
        words = 'The batch of a step is 2 images x 1 processes = 2, but the learning rate is for 512'
        assert log.count(words) == (name == 'told')


@pytest.mark.parametrize(
    'recipe, peaks',
    [
        ('soco_lars_800e', [8.0 * 2 / 1024]),
        ('pixpro_lars_800e', [4.0 * 2 / 1024]),
        ('adamw_leopart_50e', [1e-5 * 2 / 64] * 2 + [1e-4 * 2 / 64] * 2),
    ],
)
def test_the_learning_rates_of_the_region_methods_scale_with_the_batch(tmp_path, recipe, peaks):
    short = {'param_scheduler.0.warmup': 1 if 'lars' in recipe else 0}
    rates = run(tmp_path, recipe, epochs=2, **short, **{'auto_scale_lr.enable': True})
    found = [max(entry[1 + group][0] for entry in rates) for group in range(len(peaks))]
    assert found == pytest.approx(peaks, rel=1e-12)


@pytest.mark.parametrize(
    'changes, words',
    [
        ({}, 'got 40 of 8 .*train_cfg.max_epochs'),
        ({'param_scheduler.0.warmup': 1, 'param_scheduler.0.start': 1.5}, r'start must lie in \[0, 1\], got 1.5'),
    ],
)
def test_a_warm_up_that_does_not_fit_is_refused(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        run(tmp_path, 'adamw_ibot_200e', epochs=2, **changes)


def test_a_second_schedule_warms_up_again_from_its_first_step():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    parts = [dict(warmup=2, begin=0, end=6), dict(warmup=4, begin=6, end=20)]
    schedules = [WarmupCosineLR.build_iter_from_epoch(optimizer, eta_min=0.5, epoch_length=3, **part) for part in parts]
    rates = []
    for _ in range(60):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for schedule in schedules:
            schedule.step()
    expected = np.concatenate([dino(2.0, 0.5, 18, 6), dino(2.0, 0.5, 42, 12)])
    assert np.allclose(rates, expected, rtol=1e-12)
