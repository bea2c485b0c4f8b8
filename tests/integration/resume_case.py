"""A tiny DenseCL-D run for the tests of interruptions, and hooks that interrupt it."""
import multiprocessing
import os
import signal
import subprocess

from mmengine.hooks import Hook
from mmpretrain.models import DenseCLNeck
from torch import nn

from mmdecouple.registry import HOOKS, MODELS

CONFIG = """
_base_ = 'mmdecouple::_base_/default_runtime.py'
custom_imports = dict(imports=['tests.integration.resume_case'])
view = [
    dict(type='RandomResizedCropView', size=56),
    dict(type='RandomColorJitter'),
    dict(type='RandomGrayscale'),
    dict(type='RandomGaussianBlur'),
    dict(type='RandomFlipView'),
]
train_dataloader = dict(
    batch_size=4, num_workers=0, drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='EpochSampler'),
    dataset=dict(
        type='ImageDataset', data_root='{images}', max_bad_share=0.1,
        pipeline=[dict(type='MultiView', views=[view], num_views=[2]), dict(type='PackViews')]))
model = dict(
    type='DenseCL',
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8,
                  out_indices=(3, ), zero_init_residual=False,
                  norm_cfg=dict(type='mmdecouple.SplitBN')),
    neck=dict(type='DropoutNeck', in_channels=64, hid_channels=32, out_channels=16, num_grid=7),
    queue_length=32, channels=16,
    decoupling=dict(type='DecouplingBranch', ratio=0.5,
                    mask=dict(type='RegionCollaborativeCutout', preset='paper')))
optim_wrapper = dict(
    type='PrecisionOptimWrapper', precision='fp32',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=3)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=4, by_epoch=False, max_keep_ckpts=1))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""


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


@HOOKS.register_module()
class PoisonHook(Hook):
    """Makes one loss term NaN at an iteration, on one process."""

    def __init__(self, iteration: int, rank: int = 0) -> None:
        self.iteration, self.rank = iteration, rank

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.iteration and runner.rank == self.rank:
            model = getattr(runner.model, 'module', runner.model)
            base_loss = model.base_loss
            model.base_loss = lambda *args: {
                name: value * float('nan') for name, value in base_loss(*args).items()}
