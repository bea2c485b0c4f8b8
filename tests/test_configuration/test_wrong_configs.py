"""Whatever is wrong in a config is answered with one line that names its key, before or while the run is built."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmdecouple.configuration import check_config, naming_config_keys
from mmdecouple.engine.loops import ResumableEpochLoop
from mmdecouple.registry import MODELS
from mmdecouple.runs.launch import running
from mmdecouple.utils.configs import apply_overrides, configs_folder, load_config
from mmdecouple.utils.errors import MAX_LENGTH, PREFIX, UserError

DEMO = {
    method: f'{method}-d_{network}-demo_scenes'
    for method, network in [
        ('densecl', 'resnet'),
        ('soco', 'resnet'),
        ('ibot', 'vit'),
        ('maskalign', 'vit'),
        ('leopart', 'vit'),
    ]
}
D, S, I, M, L = DEMO

# config, override, value, what the line must say: the key, and more where something is to be suggested.
CHECKED = [
    # Root keys that nothing reads.
    (D, 'train_dataloder.batch_size', 16, 'train_dataloder: train_dataloader'),
    (I, 'optim_wraper.optimizer.lr', 0.1, 'optim_wraper: optim_wrapper'),
    (M, 'modle.queue_length', 4, 'modle: model'),
    (S, 'custom_hook', [], 'custom_hook: custom_hooks'),
    (L, 'lr', 0.1, 'lr: optim_wrapper.optimizer.lr'),
    (D, 'batch_size', 4, 'batch_size: train_dataloader.batch_size'),
    (D, 'epochs', 4, 'epochs: train_cfg.max_epochs'),
    (D, 'max_epochs', 4, 'max_epochs: train_cfg.max_epochs'),
    (D, 'seed', 4, 'seed: randomness.seed'),
    (I, 'lambda', 0.3, 'lambda: model.decoupling.loss_weight'),
    (I, 'data.root', 'x', 'data.root'),
    # Variables of a base file, whose values were copied.
    (D, 'view.0.size', 64, 'view.0.size: train_dataloader.dataset.pipeline.0.views.0.0.size'),
    (I, 'crop.size', 32, 'crop.size: train_dataloader.dataset.pipeline.0.views.0.0.size'),
    (I, 'colors.1.hue', 0.5, 'colors.1.hue: train_dataloader.dataset.pipeline.0.views.0.2.hue'),
    (S, 'whole.size', 64, 'whole.size: train_dataloader.dataset.pipeline.1.views.0.0.size'),
    (D, 'decoupling.loss_weight', 0.5, 'decoupling.loss_weight: model.decoupling.loss_weight'),
    (D, 'scenes.size', 64, 'scenes.size: train_dataloader.dataset.scenes.size'),
    (D, 'vis_backends.0.type', 'X', 'vis_backends.0.type: visualizer.vis_backends.0.type'),
    # Arguments that a class does not have.
    (D, 'model.decoupling.lambda', 0.3, 'model.decoupling.lambda: loss_weight'),
    (I, 'model.tau', 0.1, 'model.tau: student_temperature'),
    (D, 'model.tau', 0.1, 'model.tau: temperature'),
    (D, 'model.K', 64, 'model.K: queue_length'),
    (L, 'model.neck.num_prototypes', 64, 'model.neck.num_prototypes: prototypes'),
    (D, 'model.queue_lenght', 64, 'model.queue_lenght: queue_length'),
    (D, 'model.backbone.dept', 50, 'model.backbone.dept: depth'),
    (D, 'model.neck.in_chanels', 64, 'model.neck.in_chanels: in_channels'),
    (D, 'model.teacher.ema', 0.9, 'model.teacher.ema: momentum'),
    (M, 'model.teacher.chekpoint', 'a.pth', 'model.teacher.chekpoint: checkpoint'),
    (M, 'model.teacher.backbone.patchsize', 8, 'model.teacher.backbone.patchsize: patch_size'),
    (D, 'model.data_preprocessor.means', [1, 2, 3], 'model.data_preprocessor.means: mean'),
    (D, 'model.decoupling.mask.r_c', 0.3, 'model.decoupling.mask.r_c: cut_ratio'),
    (D, 'model.decoupling.mask.n', 3, 'model.decoupling.mask.n: grid'),
    (I, 'model.mim_mask.ratio', 0.3, 'model.mim_mask.ratio: cut_ratio'),
    (
        S,
        'model.data_preprocessor.batch_stages.0.stride',
        4,
        'model.data_preprocessor.batch_stages.0.stride: mask_stride',
    ),
    (S, 'model.predictor.hidden', 4, 'model.predictor.hidden'),
    (D, 'train_dataloader.batchsize', 4, 'train_dataloader.batchsize: batch_size'),
    (D, 'train_dataloader.workers', 4, 'train_dataloader.workers: num_workers'),
    (D, 'train_dataloader.dataset.num_image', 4, 'train_dataloader.dataset.num_image: num_images'),
    (D, 'train_dataloader.sampler.shufle', True, 'train_dataloader.sampler.shufle: shuffle'),
    (D, 'train_dataloader.collate_fn.pad', True, 'train_dataloader.collate_fn.pad'),
    (D, 'train_dataloader.dataset.pipeline.0.num_view', [2], 'train_dataloader.dataset.pipeline.0.num_view: num_views'),
    (
        D,
        'train_dataloader.dataset.pipeline.0.views.0.0.sizes',
        3,
        'train_dataloader.dataset.pipeline.0.views.0.0.sizes: size',
    ),
    (
        D,
        'train_dataloader.dataset.pipeline.0.views.0.1.bright',
        0.4,
        'train_dataloader.dataset.pipeline.0.views.0.1.bright: brightness',
    ),
    (D, 'test_dataloader.dataset.measures.1.pair', 4, 'test_dataloader.dataset.measures.1.pair: pairs'),
    (D, 'test_dataloader.dataset.bank.num_image', 4, 'test_dataloader.dataset.bank.num_image: num_images'),
    (D, 'test_evaluator.prefixx', 'a', 'test_evaluator.prefixx: prefix'),
    (D, 'optim_wrapper.optimizer.learning_rate', 0.1, 'optim_wrapper.optimizer.learning_rate: lr'),
    (D, 'optim_wrapper.optimizer.beta', [0.9, 0.9], 'optim_wrapper.optimizer.beta: betas'),
    (D, 'optim_wrapper.optimizer.momentum', 0.9, 'optim_wrapper.optimizer.momentum'),
    (D, 'optim_wrapper.precison', 'fp16', 'optim_wrapper.precison: precision'),
    (D, 'optim_wrapper.accumulative_count', 2, 'optim_wrapper.accumulative_count: accumulative_counts'),
    (D, 'optim_wrapper.paramwise_cfg.bias_lr', 2.0, 'optim_wrapper.paramwise_cfg.bias_lr: bias_lr_mult'),
    (D, 'param_scheduler.1.tmax', 3, 'param_scheduler.1.tmax: T_max'),
    (I, 'param_scheduler.0.warm_up', 3, 'param_scheduler.0.warm_up: warmup'),
    (D, 'train_cfg.epochs', 3, 'train_cfg.epochs: max_epochs'),
    (D, 'train_cfg.max_iters', 3, 'train_cfg.max_iters: max_epochs'),
    (D, 'default_hooks.logger.intervall', 3, 'default_hooks.logger.intervall: interval'),
    (D, 'default_hooks.checkpoint.max_keep', 3, 'default_hooks.checkpoint.max_keep: max_keep_ckpts'),
    (D, 'default_hooks.chekpoint.interval', 3, 'default_hooks.chekpoint'),
    (D, 'custom_hooks.0.interval', 3, 'custom_hooks.0.interval'),
    (D, 'visualizer.backends', [], 'visualizer.backends: vis_backends'),
    (D, 'visualizer.vis_backends.0.dir', 'a', 'visualizer.vis_backends.0.dir: save_dir'),
    (D, 'log_processor.window', 3, 'log_processor.window: window_size'),
    (D, 'randomness.sed', 3, 'randomness.sed: seed'),
    (D, 'env_cfg.cudnn_benchmarks', True, 'env_cfg.cudnn_benchmarks: cudnn_benchmark'),
    (D, 'env_cfg.mp_cfg.start_method', 'fork', 'env_cfg.mp_cfg.start_method: mp_start_method'),
    (D, 'auto_scale_lr.batch_size', 32, 'auto_scale_lr.batch_size: base_batch_size'),
    (D, 'compile.modes', 'x', 'compile.modes: mode'),
    # Types that do not exist, or are of another kind.
    (D, 'optim_wrapper.optimizer.type', 'Adamm', 'optim_wrapper.optimizer.type: Adam'),
    (D, 'optim_wrapper.optimizer.type', 'CosineAnnealingLR', 'optim_wrapper.optimizer.type scheduler'),
    (D, 'optim_wrapper.type', 'AmpWrapper', 'optim_wrapper.type'),
    (I, 'optim_wrapper.constructor', 'DecayGroupConstructor', 'optim_wrapper.constructor: DecayGroupsConstructor'),
    (D, 'param_scheduler.1.type', 'CosineAnealingLR', 'param_scheduler.1.type: CosineAnnealingLR'),
    (D, 'model.type', 'DenseCl', 'model.type: DenseCL'),
    (D, 'model.type', 'TeacherHook', 'model.type hook'),
    (D, 'model.backbone.type', 'mmpretrain.ResNett', 'model.backbone.type: mmpretrain.ResNet'),
    (D, 'model.backbone.type', 'ResNet', 'model.backbone.type: mmpretrain.ResNet'),
    (D, 'model.backbone.type', 'nosuchpackage.ResNet', 'model.backbone.type nosuchpackage'),
    (D, 'model.decoupling.mask.type', 'Rectangel', 'model.decoupling.mask.type: Rectangle'),
    (D, 'train_dataloader.dataset.type', 'SceneImage', 'train_dataloader.dataset.type: SceneImages'),
    (D, 'train_dataloader.dataset.pipeline.1.type', 'PackView', 'train_dataloader.dataset.pipeline.1.type: PackViews'),
    (
        D,
        'train_dataloader.dataset.pipeline.0.views.0.0.type',
        'RandomResizedCropViews',
        'train_dataloader.dataset.pipeline.0.views.0.0.type: RandomResizedCropView',
    ),
    (D, 'train_dataloader.sampler.type', 'EpochSamplr', 'train_dataloader.sampler.type: EpochSampler'),
    (D, 'train_dataloader.collate_fn.type', 'default_colate', 'train_dataloader.collate_fn.type: default_collate'),
    (D, 'test_dataloader.dataset.measures.0.type', 'OKN', 'test_dataloader.dataset.measures.0.type: OKNN'),
    (D, 'test_evaluator.type', 'CouplingMetrics', 'test_evaluator.type: CouplingMetric'),
    (D, 'default_hooks.timer.type', 'IterTimer', 'default_hooks.timer.type: IterTimerHook'),
    (D, 'custom_hooks', [dict(type='FiniteLoss')], 'custom_hooks.0.type: FiniteLossHook'),
    (D, 'custom_hooks', [dict(type=5)], 'custom_hooks.0.type 5'),
    (D, 'model.backbone.type', 'json', 'model.backbone.type json'),
    (D, 'visualizer.vis_backends.0.save_dir', 7, 'visualizer.vis_backends.0.save_dir 7'),
    (D, 'test_dataloader.dataset.measures.1.type', 5, 'test_dataloader.dataset.measures.1.type 5'),
    (D, 'env_cfg.dist_cfg.backends', 'gloo', 'env_cfg.dist_cfg.backends: backend'),
    (D, 'visualizer.type', 'Visualiser', 'visualizer.type: Visualizer'),
    (D, 'visualizer.vis_backends.1.type', 'TensorBoardBackend', 'visualizer.vis_backends.1.type'),
    (D, 'log_processor.type', 'LogProcesor', 'log_processor.type: LogProcessor'),
    (D, 'train_cfg.type', 'EpochLoop', 'train_cfg.type'),
    (D, 'runner_type', 'PretrainRuner', 'runner_type: PretrainRunner'),
    (D, 'default_scope', 'mmdecople', 'default_scope mmdecouple'),
    # Values of another type.
    (D, 'model', None, 'model'),
    (D, 'model', 3, 'model'),
    (D, 'train_cfg', 5, 'train_cfg'),
    (D, 'train_dataloader', [1], 'train_dataloader'),
    (D, 'train_dataloader.dataset', 'path', 'train_dataloader.dataset'),
    (D, 'train_dataloader.batch_size', 'four', "train_dataloader.batch_size 'four'"),
    (D, 'train_dataloader.batch_size', 2.5, 'train_dataloader.batch_size 2.5'),
    (D, 'train_dataloader.batch_size', True, 'train_dataloader.batch_size True'),
    (D, 'train_dataloader.batch_size', None, 'train_dataloader.batch_size None'),
    (D, 'train_dataloader.drop_last', 'yes', 'train_dataloader.drop_last yes'),
    (D, 'randomness.seed', 'abc', 'randomness.seed abc'),
    (D, 'randomness', 3, 'randomness'),
    (D, 'optim_wrapper.optimizer.lr', '0.1x', 'optim_wrapper.optimizer.lr 0.1x'),
    (D, 'optim_wrapper.optimizer.betas', 0.9, 'optim_wrapper.optimizer.betas 0.9'),
    (D, 'optim_wrapper.optimizer', 'SGD', 'optim_wrapper.optimizer SGD'),
    (D, 'train_cfg.max_epochs', 2.5, 'train_cfg.max_epochs 2.5'),
    (D, 'train_cfg.max_epochs', None, 'train_cfg.max_epochs'),
    (D, 'default_hooks', [], 'default_hooks'),
    (D, 'default_hooks.timer', 'IterTimerHook', 'default_hooks.timer'),
    (D, 'custom_hooks', 'TeacherHook', 'custom_hooks'),
    (D, 'param_scheduler', 'cosine', 'param_scheduler cosine'),
    (D, 'param_scheduler.0.by_epoch', 'no', 'param_scheduler.0.by_epoch no'),
    (D, 'visualizer', 'Visualizer', 'visualizer'),
    (D, 'log_processor', 50, 'log_processor 50'),
    (D, 'env_cfg', None, 'env_cfg'),
    (D, 'env_cfg.dist_cfg', 'nccl', 'env_cfg.dist_cfg nccl'),
    (D, 'resume', 'yes', 'resume yes'),
    (D, 'load_from', 3, 'load_from 3'),
    (D, 'work_dir', 3, 'work_dir 3'),
    (D, 'compile', 'fast', 'compile fast'),
    (D, 'log_level', 'LOUD', 'log_level LOUD'),
    (D, 'device', 'tpu', 'device tpu'),
    (D, 'launcher', 'torchrun', 'launcher torchrun'),
    (D, 'test_evaluator', None, 'test_evaluator'),
    # Values out of range.
    (D, 'train_dataloader.batch_size', 0, 'train_dataloader.batch_size 0'),
    (D, 'train_dataloader.num_workers', -1, 'train_dataloader.num_workers -1'),
    (D, 'train_dataloader.timeout', -1, 'train_dataloader.timeout -1'),
    (D, 'train_cfg.max_epochs', 0, 'train_cfg.max_epochs 0'),
    (D, 'train_cfg.max_epochs', -1, 'train_cfg.max_epochs -1'),
    (D, 'train_cfg.val_interval', 0, 'train_cfg.val_interval 0'),
    (D, 'optim_wrapper.accumulative_counts', 0, 'optim_wrapper.accumulative_counts 0'),
    (D, 'optim_wrapper.optimizer.lr', -1, 'optim_wrapper.optimizer.lr -1'),
    (D, 'optim_wrapper.optimizer.lr', float('nan'), 'optim_wrapper.optimizer.lr nan'),
    (D, 'optim_wrapper.optimizer.lr', float('inf'), 'optim_wrapper.optimizer.lr inf'),
    (D, 'optim_wrapper.optimizer.weight_decay', -0.1, 'optim_wrapper.optimizer.weight_decay -0.1'),
    (D, 'optim_wrapper.optimizer.betas', (0.9, 1.5), 'optim_wrapper.optimizer.betas 1.5'),
    (D, 'optim_wrapper.optimizer.betas', (0.9,), 'optim_wrapper.optimizer.betas 0.9'),
    (D, 'optim_wrapper.clip_grad', dict(max_norm=0), 'optim_wrapper.clip_grad.max_norm 0'),
    (D, 'randomness.seed', -1, 'randomness.seed -1'),
    (D, 'randomness.seed', 2**32, 'randomness.seed 4294967296'),
    (D, 'default_hooks.logger.interval', 0, 'default_hooks.logger.interval 0'),
    (D, 'default_hooks.checkpoint.interval', 0, 'default_hooks.checkpoint.interval 0'),
    (D, 'default_hooks.checkpoint.max_keep_ckpts', 0, 'default_hooks.checkpoint.max_keep_ckpts 0'),
    (D, 'log_processor.window_size', 0, 'log_processor.window_size 0'),
    (D, 'param_scheduler.1.T_max', 0, 'param_scheduler.1.T_max 0'),
    (D, 'param_scheduler.0.begin', -1, 'param_scheduler.0.begin -1'),
    (D, 'param_scheduler.0.end', 0, 'param_scheduler.0.end 0'),
    (D, 'auto_scale_lr.base_batch_size', 0, 'auto_scale_lr.base_batch_size 0'),
    (D, 'env_cfg.mp_cfg.mp_start_method', 'thread', 'env_cfg.mp_cfg.mp_start_method thread'),
]

# What only the constructors of others complain about, when the model is built.
BUILT = [
    (D, 'model.backbone.depth', 17, 'model.backbone 17'),
    (D, 'model.backbone.strides', (1, 2), 'model.backbone strides'),
    (D, 'model.backbone.out_indices', (9,), 'model.backbone out_indices'),
    (D, 'model.backbone', 3, 'model.backbone'),
    (S, 'model.decoupling', [], 'model'),
    (D, 'model.neck', dict(_delete_=True, type='mmpretrain.DenseCLNeck'), 'model.neck in_channels'),
    (D, 'model.neck.out_channels', 'many', 'model.neck'),
    (S, 'model.neck.hid_channels', -5, 'model.neck -5'),
]

# What the runner, or the first step, complains about.
RUN = [
    ('param_scheduler.0.start_factor', 2.0, 'param_scheduler.0 between 0 and 1'),
    ('optim_wrapper.optimizer', dict(type='SGD', lr=0.1, nesterov=True), 'optim_wrapper.optimizer Nesterov'),
    ('model.neck.in_channels', 17, 'first training step model 17'),
]


@cache
def demo(method: str) -> Config:
    return load_config(str(configs_folder() / 'demo' / f'{DEMO[method]}.py'))


def changed(method: str, options: dict) -> Config:
    config = deepcopy(demo(method))
    apply_overrides(config, options)
    return config


def says(caught, wanted: str) -> None:
    line = str(caught.value)
    assert '\n' not in line and len(PREFIX + line) <= MAX_LENGTH, line
    assert all(word in line for word in wanted.replace(': ', ' ').split()), line


def named(rows):
    return [pytest.param(*row, id=f'{row[-3]}={row[-2]}') for row in rows]


@pytest.mark.parametrize('method, key, value, wanted', named(CHECKED))
def test_a_wrong_value_is_refused_before_anything_is_built(method, key, value, wanted):
    with pytest.raises(UserError) as caught:
        check_config(changed(method, {key: value}), {key: value})
    says(caught, wanted)


@pytest.mark.parametrize('method, key, value, wanted', named(BUILT))
def test_what_a_constructor_complains_about_is_told_with_its_key(method, key, value, wanted):
    config = changed(method, {key: value})
    with pytest.raises(UserError) as caught, naming_config_keys(config):
        check_config(config, {key: value})
        MODELS.build(config.model)
    says(caught, wanted)


SMALL = {
    'train_dataloader.batch_size': 4,
    'train_dataloader.dataset.num_images': 8,
    'model.queue_length': 16,
    'train_cfg.max_epochs': 1,
    'launcher': 'none',
}


def small(folder: Path) -> dict:
    # mmengine keeps a visualizer by the name of the run, which is otherwise that of the config and the second.
    return {**SMALL, 'work_dir': str(folder), 'experiment_name': folder.name}


@pytest.mark.parametrize('key, value, wanted', named(RUN))
def test_what_fails_until_the_first_step_is_done_is_told_with_its_key(key, value, wanted, tmp_path):
    config = changed(D, {**small(tmp_path), key: value})
    with pytest.raises(UserError) as caught, running(config) as runner:
        runner.train()
    says(caught, wanted)
    assert caught.value.__cause__ is not None


def test_what_fails_after_the_first_step_keeps_its_traceback(tmp_path, monkeypatch):
    def fail(*_: Any) -> None:
        raise ValueError('a bug')

    monkeypatch.setattr(ResumableEpochLoop, 'run_iter', lambda self, *args: setattr(self, '_iter', 1) or fail())
    with pytest.raises(ValueError, match='a bug') as caught, running(changed(D, small(tmp_path))) as runner:
        runner.train()
    assert not isinstance(caught.value, UserError)


def test_a_mistake_in_code_keeps_its_traceback_while_a_run_is_built():
    with pytest.raises(NameError), naming_config_keys(changed(D, {})):
        raise NameError('undefined')


@pytest.mark.parametrize(
    'options, wanted',
    [
        ({'custom_hooks.99.type': 'X', 'train_cfg.max_epochs': 1}, 'custom_hooks.99.type'),
        ({'model.queue_length.x': 3}, 'model.queue_length.x'),
        ({'custom_hooks': dict(type='TeacherHook')}, 'custom_hooks'),
        ({'train_dataloader.dataset.pipeline.x.type': 'A'}, 'train_dataloader.dataset.pipeline.x.type'),
    ],
)
def test_an_override_that_leads_nowhere_is_named(options, wanted):
    with pytest.raises(UserError) as caught:
        changed(D, options)
    says(caught, wanted)
