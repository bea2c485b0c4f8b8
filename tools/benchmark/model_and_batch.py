"""Model, optimizer and batch with which the training steps of a variant are measured."""

import argparse

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.structures import BaseDataElement
from torch import Tensor
from variants import config_of

# Methods on the overlaps of global and local views.
OVERLAPPING = ('leopart', 'neco', 'paka')


def build(variant: str, args: argparse.Namespace) -> tuple[BaseModel, OptimWrapper]:
    """Returns the initialized model of a variant in training mode, and its optimizer."""
    cfg = config_of(variant, args)
    init_default_scope('mmdecouple')
    if variant == 'mmpretrain':
        from mmpretrain.registry import MODELS
        from mmpretrain.utils import register_all_modules

        register_all_modules(init_default_scope=False)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(_of_mmpretrain(cfg.model))
    else:
        from mmdecouple.registry import MODELS

        model = MODELS.build(cfg.model)
    model.init_weights()
    if variant != 'mmpretrain':
        model.prepare_training()
    model.to(args.device).train()
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def views_of(variant: str, args: argparse.Namespace) -> list[Tensor]:
    """Returns a batch of views with uint8 noise, in the form in which workers return views."""
    local = '-mc' in variant or variant.startswith(OVERLAPPING)
    sizes = [args.size] * 2 + [args.local_size] * (args.locals if local else 0)
    if variant.startswith(('maskalign', 'unirefiner')):
        sizes = [args.size]
    if variant.startswith('plrc'):
        sizes = [args.size] * 3
    views = [torch.randint(0, 256, (args.batch_size, 3, size, size), dtype=torch.uint8) for size in sizes]
    return [view.pin_memory() for view in views] if args.device == 'cuda' else views


def samples_of(variant: str, args: argparse.Namespace) -> list[BaseDataElement] | None:
    """Returns the samples of the views: proposals for SoCo, or crop windows for the other methods that read them."""
    if variant.startswith('soco'):
        low = 0.5 * torch.rand(args.batch_size, 1, 4, 2)
        boxes = torch.cat([low, low + 0.3 + 0.2 * torch.rand(args.batch_size, 1, 4, 2)], dim=3).expand(-1, 2, -1, -1)
        return [BaseDataElement(boxes=some, box_ids=torch.arange(4).expand(2, 4)) for some in boxes]
    if variant.startswith('plrc'):
        windows = [[40.0, 40, 400, 400, 0], [200.0, 20, 360, 440, 1], [100.0, 60, 400, 380, 1]]
        return [BaseDataElement(geometry=torch.tensor([[*w, 480, 640] for w in windows]))] * args.batch_size
    if variant.startswith((*OVERLAPPING, 'pixpro', 'resim')):
        local = args.locals if variant.startswith(OVERLAPPING) else 0
        windows = [[0.0, 0, 400, 400], [200.0, 100, 400, 400], *[[240.0, 160, 160, 160]] * local]
        geometry = torch.tensor([[*window, 0, 480, 640] for window in windows])
        return [BaseDataElement(geometry=geometry) for _ in range(args.batch_size)]
    return None


def _of_mmpretrain(ours: dict) -> dict:
    backbone = {**ours['backbone'], 'type': 'ResNet', 'norm_cfg': dict(type='BN')}
    normalization = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    return dict(
        type='DenseCL',
        backbone=backbone,
        neck={**ours['neck'], 'type': 'DenseCLNeck'},
        queue_len=ours['queue_length'],
        feat_dim=ours['channels'],
        data_preprocessor=dict(type='SelfSupDataPreprocessor', **normalization),
        head=dict(type='ContrastiveHead', temperature=ours['temperature'], loss=dict(type='CrossEntropyLoss')),
    )
