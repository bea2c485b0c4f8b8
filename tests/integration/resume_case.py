"""A tiny run of each method for the tests of interruptions and processes, and hooks that interrupt it."""

import json
import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path

from mmengine.hooks import Hook
from mmpretrain.models import DenseCLNeck
from torch import nn

from mmdecouple.datasets.transforms import MultiView
from mmdecouple.registry import HOOKS, MODELS, TRANSFORMS

DENSECL = """
_base_ = 'mmdecouple::_base_/default_runtime.py'
view = [
    dict(type='RandomResizedCropView', size=56),
    dict(type='RandomColorJitter'),
    dict(type='RandomGrayscale'),
    dict(type='RandomGaussianBlur'),
    dict(type='RandomFlipView'),
]
transforms = [dict(type='MultiView', views=[view], num_views=[2])]
model = dict(
    type='DenseCL',
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8,
                  out_indices=(3, ), zero_init_residual=False,
                  norm_cfg=dict(type='mmdecouple.SplitBN')),
    neck=dict(type='DropoutNeck', in_channels=64, hid_channels=32, out_channels=16, num_grid=7),
    queue_length=32, channels=16)
cells = dict()
optim_wrapper = dict(
    type='PrecisionOptimWrapper', precision='fp32',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, convert_to_iter_based=True)]
"""

VIT = """
view = [
    dict(type='RandomResizedCropView', size=32, interpolation='bicubic'),
    dict(type='RandomColorJitter'),
    dict(type='RandomFlipView'),
]
vit = dict(type='DenseViT', img_size=32, patch_size=8,
           arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32))
cells = dict(grid=2)
optim_wrapper = dict(precision='fp32')
param_scheduler = [dict(_base_.param_scheduler[0], warmup=1), *_base_.param_scheduler[1:]]
"""

IBOT = (
    """
_base_ = ['mmdecouple::_base_/default_runtime.py', 'mmdecouple::_base_/schedules/adamw_ibot_200e.py']
"""
    + VIT
    + """
local_view = [dict(type='RandomResizedCropView', size=16, interpolation='bicubic'), *view[1:]]
transforms = [dict(type='MultiView', views=[view, local_view], num_views=[2, 2])]
model = dict(
    type='IBOT', local_views=2, warmup_epochs=3,
    backbone=dict(vit, mask_token=True, drop_path_rate=0.3),
    neck=dict(type='DINOHead', in_channels=16, out_channels=24, hidden_channels=32,
              bottleneck_channels=8),
    teacher=dict(type='EMATeacher', momentum=0.9, end_momentum=1.0),
    mim_mask=dict(type='Blockwise', cut_ratio=(0.1, 0.5)))
"""
)

MASKALIGN = (
    """
_base_ = ['mmdecouple::_base_/default_runtime.py',
          'mmdecouple::_base_/schedules/adamw_maskalign_200e.py']
"""
    + VIT
    + """
transforms = [dict(type='MultiView', views=[view], num_views=[1])]
model = dict(
    type='MaskAlign',
    backbone=dict(vit, position='sincos', drop_path_rate=0.3),
    neck=dict(type='DynamicAlignment', in_channels=16, out_channels=16, student_depth=2,
              teacher_depth=2, levels=2),
    teacher=dict(type='FrozenViT', backbone=vit, checkpoint='random'))
"""
)

LEOPART = (
    """
_base_ = ['mmdecouple::_base_/default_runtime.py',
          'mmdecouple::_base_/schedules/adamw_leopart_50e.py']
"""
    + VIT.replace('warmup=1', 'warmup=0')
    + """
local_view = [dict(type='RandomResizedCropView', size=16, scale=(0.05, 0.25)), *view[1:2]]
transforms = [dict(type='OverlapViews', views=[view[:2], local_view], num_views=[2, 2])]
optim_wrapper = dict(optimizer=dict(lr=1e-3))
model = dict(
    type='Leopart', local_views=2, queue_length=24, queue_share=2,
    backbone=dict(vit, drop_path_rate=0.3),
    neck=dict(type='PrototypeHead', in_channels=16, prototypes=12, hidden_channels=24,
              out_channels=8),
    teacher=dict(type='EMATeacher', momentum=0.9, end_momentum=1.0))
"""
)

UNIREFINER = (
    """
_base_ = ['mmdecouple::_base_/default_runtime.py',
          'mmdecouple::_base_/schedules/adamw_unirefiner_2e.py']
"""
    + VIT.partition('param_scheduler')[0]
    + """
transforms = [dict(type='MultiView', views=[view], num_views=[1])]
model = dict(type='UniRefiner', backbone=dict(vit, drop_path_rate=0.3))
"""
)

NECO = (
    LEOPART.partition('model =')[0]
    + """
model = dict(
    type='NeCo', local_views=2, references=12,
    backbone=dict(vit, drop_path_rate=0.3),
    neck=dict(type='ProjectionHead', in_channels=16, hidden_channels=24, out_channels=8),
    teacher=dict(type='EMATeacher', momentum=0.9, end_momentum=1.0))
"""
)

PAKA = (
    LEOPART.partition('transforms =')[0].replace('adamw_leopart', 'adamw_paka')
    + """
transforms = [dict(type='OverlapViews', views=[view[:1], view[:2], local_view], num_views=[1, 1, 2])]
optim_wrapper = dict(optimizer=dict(lr=1e-3))
model = dict(
    type='PaKA', local_views=2, backbone=dict(vit, drop_path_rate=0.3),
    teacher=dict(type='EMATeacher', momentum=0.9, end_momentum=1.0))
"""
)

# The visible tokens weighted by distance, and a teacher of which the head alone is averaged.
IBOT_HEAD = (
    IBOT
    + """
model.update(visible_weight=1.0, visible_by_distance=True)
model['teacher']['averaged'] = ('neck',)
"""
)

SOCO = """
_base_ = ['mmdecouple::_base_/default_runtime.py',
          'mmdecouple::_base_/schedules/soco_lars_200e.py']
view = [
    dict(type='RandomFlipView'),
    dict(type='RandomColorJitter'),
    dict(type='RandomGaussianBlur'),
]
transforms = [
    dict(type='GridProposals'),
    dict(type='BoxViews', num_views=[1, 1],
         views=[[dict(type='WholeImageView', size=48), *view],
                [dict(type='RandomResizedCropView', size=48, scale=(0.3, 1.0)), *view]]),
]
mlp = dict(type='mmpretrain.NonLinearNeck', hid_channels=24, out_channels=16, with_bias=True,
           with_last_bias=True, with_last_bn=False, with_avg_pool=False,
           norm_cfg=dict(type='BN1d'))
model = dict(
    type='SoCo', roi_size=4,
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8,
                  num_stages=3, strides=(1, 2, 1), dilations=(1, 1, 1), out_indices=(2, ),
                  norm_cfg=dict(type='BN')),
    neck=dict(mlp, in_channels=32), predictor=dict(mlp, in_channels=16),
    teacher=dict(type='EMATeacher', momentum=0.9, end_momentum=1.0),
    data_preprocessor=dict(type='DensePreprocessor', batch_stages=[dict(type='CutBoxes')]))
cells = dict()
optim_wrapper = dict(precision='fp32')
param_scheduler = [dict(_base_.param_scheduler[0], warmup=1)]
"""

PIXPRO = """
_base_ = ['mmdecouple::_base_/default_runtime.py',
          'mmdecouple::_base_/schedules/pixpro_lars_200e.py']
view = [
    dict(type='RandomResizedCropView', size=48),
    dict(type='RandomFlipView'),
    dict(type='RandomColorJitter'),
    dict(type='RandomGaussianBlur'),
]
transforms = [dict(type='MultiView', views=[view], num_views=[2])]
norm = dict(norm_cfg=dict(type='BN'))
model = dict(
    type='PixPro',
    backbone=dict(norm, type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8,
                  num_stages=3, strides=(1, 2, 1), dilations=(1, 1, 1), out_indices=(2, )),
    neck=dict(norm, type='PixelHeads', in_channels=32, hidden_channels=24, out_channels=16, instance=True),
    predictor=dict(type='PixelPropagationModule', channels=16),
    instance_predictor=dict(norm, type='PixelMLP', in_channels=16, hidden_channels=24, out_channels=16),
    teacher=dict(type='EMATeacher', momentum=0.9, end_momentum=1.0),
    data_preprocessor=dict(type='DensePreprocessor'))
cells = dict()
optim_wrapper = dict(precision='fp32')
param_scheduler = [dict(_base_.param_scheduler[0], warmup=1)]
"""

PLRC = (
    DENSECL.replace("MultiView', views=[view], num_views=[2]", "PartnerViews', views=[view], num_views=[3]").partition(
        'model ='
    )[0]
    + """
model = dict(
    type='PLRC',
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8,
                  out_indices=(3, ), norm_cfg=dict(type='mmdecouple.SplitBN')),
    neck=dict(type='PointHead', in_channels=64, hidden_channels=32, out_channels=16,
              bottleneck_channels=8, prototypes=12),
    queue_length=32, channels=16, point_grid=8, points=4, affinity=dict(warmup_epochs=3))
cells = dict(grid=2)
"""
    + DENSECL.partition('cells = dict()\n')[2]
)

RESIM = """
_base_ = 'mmdecouple::_base_/default_runtime.py'
view = [
    dict(type='RandomResizedCropView', size=48, scale=(0.3, 1.0)),
    dict(type='RandomColorJitter'),
    dict(type='RandomGaussianBlur'),
]
transforms = [dict(type='RandomFlipView'), dict(type='MultiView', views=[view], num_views=[2])]
model = dict(
    type='ReSim', queue_length=32, channels=16, windows=((24, 8), (16, 12)),
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8,
                  num_stages=3, strides=(1, 2, 1), dilations=(1, 1, 1), out_indices=(0, 1, 2),
                  zero_init_residual=False, norm_cfg=dict(type='mmdecouple.SplitBN')),
    neck=dict(type='ReSimNeck', in_channels=[8, 16, 32], hid_channels=32, out_channels=16, channels=12),
    teacher=dict(type='EMATeacher', momentum=0.9, end_momentum=1.0))
cells = dict()
optim_wrapper = dict(
    type='PrecisionOptimWrapper', precision='fp32',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, convert_to_iter_based=True)]
"""

BRANCH = """
model['decoupling'] = dict(
    type='DecouplingBranch', ratio=0.5,
    mask=dict(type='RegionCollaborativeCutout', preset='paper', **cells))
"""

# Epoch 0 trains the heads; from epoch 1 on all learns, anchored to a Gram teacher that is replaced before epoch 2.
POSTTRAIN = """
model.update(frozen_backbone_epochs=1, terms=[dict(type='GramAnchoring', start_epoch=1, refresh_epochs=1, scale=2)])
optim_wrapper.update(paramwise_cfg=dict(layer_decay=0.8, lr_mult=dict(neck=10)))
param_scheduler = [dict(param_scheduler[0], warmup=0, begin=0, end=1), dict(param_scheduler[0], warmup=0.5, begin=1)]
"""

RUN = """
custom_imports = dict(imports=['tests.integration.resume_case'])
train_dataloader = dict(
    batch_size=4, num_workers=0, drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='EpochSampler'),
    dataset=dict(
        type='ImageDataset', data_root='{images}', max_bad_share=0.1,
        pipeline=[*transforms, dict(type='PackViews')]))
train_cfg = dict(max_epochs=3)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=4, by_epoch=False, max_keep_ckpts=1))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""

CONFIGS = {
    name + suffix: method + branch + RUN
    for name, method in dict(
        densecl=DENSECL,
        ibot=IBOT,
        maskalign=MASKALIGN,
        leopart=LEOPART,
        neco=NECO,
        paka=PAKA,
        ibot_head=IBOT_HEAD,
        soco=SOCO,
        pixpro=PIXPRO,
        plrc=PLRC,
        resim=RESIM,
        unirefiner=UNIREFINER,
    ).items()
    for suffix, branch in {'': '', '-d': BRANCH}.items()
} | {'posttrain-d': IBOT + BRANCH + POSTTRAIN + RUN}


@MODELS.register_module()
class DropoutNeck(DenseCLNeck):
    """The usual neck behind a dropout, so that the model itself draws."""

    def forward(self, features):
        return super().forward([nn.functional.dropout(features[0], 0.2, self.training)])


@HOOKS.register_module()
class SignalHook(Hook):
    """Sends this process and its workers a signal after an iteration."""

    priority = 'HIGHEST'

    def __init__(self, iteration: int, name: str) -> None:
        self.iteration, self.name = iteration, name

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter == self.iteration:
            number = getattr(signal, self.name)
            if number != signal.SIGKILL:
                # Somebody else's signal, as from a terminal or a scheduler, not the parent's.
                for worker in multiprocessing.active_children():
                    subprocess.run(['kill', f'-{number.value}', str(worker.pid)], check=True)
            os.kill(os.getpid(), number)


@TRANSFORMS.register_module()
class HangingViews(MultiView):
    """Views of the first images only; then it stands still."""

    done = 0

    def transform(self, results):
        self.done += 1
        return super().transform(results) if self.done < 9 else hang()


def hang():
    while True:
        time.sleep(1)


@HOOKS.register_module()
class SamplesHook(Hook):
    """Writes the images of every iteration to a file of its own, and stops the run at one."""

    def __init__(self, folder: str, stop: int) -> None:
        self.folder, self.stop = Path(folder), stop

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.folder.mkdir(exist_ok=True)
        names = [Path(sample.img_path).name for sample in data_batch['data_samples']]
        (self.folder / f'{runner.iter}_{runner.rank}.json').write_text(json.dumps(names))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.stop:
            os.kill(os.getpid(), signal.SIGTERM)


@HOOKS.register_module()
class LateHook(Hook):
    """Keeps the main process busy after the last iteration, as a slow file system does that saves."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def after_train(self, runner) -> None:
        if runner.rank == 0:
            time.sleep(self.seconds)


@HOOKS.register_module()
class WaitHook(Hook):
    """Says after an iteration that it was reached, and waits until a file is there."""

    priority = 'HIGHEST'

    def __init__(self, iteration: int, file: str, rank: int | None = None) -> None:
        self.iteration, self.file, self.rank = iteration, Path(file), rank

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter == self.iteration and self.rank in (None, runner.rank):
            self.file.with_name(f'{self.file.name}.{runner.rank}').touch()
            while not self.file.exists():
                time.sleep(0.05)


@HOOKS.register_module()
class GradientHook(Hook):
    """Makes the gradient of one parameter NaN at an iteration, on one process; its loss stays finite."""

    def __init__(self, iteration: int, rank: int = 0) -> None:
        self.iteration, self.rank = iteration, rank

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.iteration and runner.rank == self.rank:
            trained = next(p for p in runner.model.parameters() if p.requires_grad)
            trained.register_hook(lambda gradient: gradient * float('nan'))


@HOOKS.register_module()
class PoisonHook(Hook):
    """Makes one loss term NaN at an iteration, on one process."""

    def __init__(self, iteration: int, rank: int = 0) -> None:
        self.iteration, self.rank = iteration, rank

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.iteration and runner.rank == self.rank:
            model = getattr(runner.model, 'module', runner.model)
            base_loss = model.base_loss
            model.base_loss = lambda *args: {name: value * float('nan') for name, value in base_loss(*args).items()}
