"""Runs of ten steps under shipped configs equal the authors': losses, student, teacher, centers and queues."""
from types import SimpleNamespace

import torch

from mmdecouple.models.algorithms.ibot import MIMMasks
from mmdecouple.models.decoupling import Foreground

from .golden import formula
from .golden_models import VIT, HEAD, load, own_vit_name, released_views
from .golden_runs import GoldenRun


SMALL = dict(VIT, arch=dict(VIT['arch'], _delete_=True), drop_path_rate=0.)


def ibot_run(name: str, config: str, changes: dict | None = None, prepare=lambda model: None) -> GoldenRun:
    golden = load(name)
    schedule, number, locals_ = golden['schedule'], golden['batch'], golden['locals']

    def batch(step: int) -> dict:
        views = [formula.image(f'view {v} step {step}', number, 32) for v in range(2)]
        views += [formula.image(f'local {v} step {step}', number, 16) for v in range(locals_)]
        return dict(inputs=views, data_samples=[SimpleNamespace(step=step)])

    def draw(data: dict, generator: torch.Generator) -> MIMMasks:
        mask = torch.cat([formula.from_text(view) for view in golden['masks'][data['data_samples'][0].step]])
        share = mask.flatten(1).double()
        return MIMMasks(mask, Foreground.of(share), Foreground.of(1 - share))

    def given(model) -> None:
        model.draw = draw
        prepare(model)

    return GoldenRun(golden, config, {
        'model.backbone': SMALL, 'model.neck': HEAD, 'model.local_views': locals_,
        'model.warmup_epochs': schedule['temperature_warmup'], 'param_scheduler.0.warmup': schedule['warmup'],
        'optim_wrapper.clip_grad.max_norm': schedule['clip'], **(changes or {})}, own_vit_name, batch, given,
        state=lambda model: {'class center': model.class_center.value, 'patch center': model.patch_center.value})


IBOT_TERMS = {'cls': 'loss_class', 'patch': 'loss_patch', 'loss': 'loss'}


def test_ibot(tmp_path):
    run = ibot_run('run_ibot', 'ibot/ibot_vit-s16_8x64-800e_coco.py')
    run.check(run.train(tmp_path), IBOT_TERMS)


def test_ibot_with_local_views(tmp_path):
    run = ibot_run('run_ibot_locals', 'ibot/ibot-mc_vit-s16_8x64-800e_coco.py')
    run.check(run.train(tmp_path), IBOT_TERMS)


def test_the_released_ibot_d(tmp_path):
    golden = load('run_ibot_release')

    def prepare(model) -> None:
        def compose(views, *rest):
            return released_views(golden['drawn'][model.step], views, model.decoupling.mixing)
        draw = model.draw
        model.draw = lambda data, generator: setattr(model, 'step', data['data_samples'][0].step) or draw(data, generator)
        model.decoupling.compose = compose

    run = ibot_run('run_ibot_release', 'ibot/ibot-d_vit-s16_8x64-800e_coco_release.py', prepare=prepare)
    run.check(run.train(tmp_path), {**IBOT_TERMS, 'dc': 'decoupling'})
