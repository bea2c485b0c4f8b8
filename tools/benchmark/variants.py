"""The models that the step benchmark compares.

Every variant is a shipped config, resized by the options. All iBOT variants use iBOT's block masks, so that a ratio
shows the effect of the branch and not of a different number of masked patches.
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.structures import BaseDataElement
from mmpretrain.models import VisionTransformer
from torch import Tensor

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
CONFIG_OF = {
    'densecl': 'densecl/densecl_r50_8xb32-200e_coco.py',
    'densecl-d': 'densecl/densecl-d_r50_8xb32-200e_coco.py',
    'mmpretrain': 'densecl/densecl_r50_8xb32-200e_coco.py',
    'ibot': 'ibot/ibot_vit-s16_8x64-800e_coco.py',
    'ibot-d': 'ibot/ibot-d_vit-s16_8x64-800e_coco.py',
    'ibot-d-release': 'ibot/ibot-d_vit-s16_8x64-800e_coco_release.py',
    'ibot-mc': 'ibot/ibot-mc_vit-s16_8x64-800e_coco.py',
    'ibot-mc-d': 'ibot/ibot-mc-d_vit-s16_8x64-800e_coco.py',
    'maskalign': 'maskalign/maskalign_vit-s16_8x128-800e_coco.py',
    'maskalign-d': 'maskalign/maskalign-d_vit-s16_8x128-800e_coco.py',
    'maskalign-d-drop': 'maskalign/maskalign-d-drop_vit-s16_8x128-800e_coco.py',
    'soco': 'soco/soco-c4_r50_8xb128-800e_coco.py',
    'soco-d': 'soco/soco-c4-d_r50_8xb128-800e_coco.py',
    'pixpro': 'pixpro/pixpro_r50_8xb128-800e_coco.py',
    'pixpro-d': 'pixpro/pixpro-d_r50_8xb128-800e_coco.py',
    'plrc': 'plrc/plrc_r50_8xb32-200e_coco.py',
    'plrc-d': 'plrc/plrc-d_r50_8xb32-200e_coco.py',
    'resim': 'resim/resim-fpn_r50_8xb32-800e_coco.py',
    'resim-d': 'resim/resim-fpn-d_r50_8xb32-800e_coco.py',
    'leopart': 'leopart/leopart_vit-s16_2xb32-50e_coco.py',
    'leopart-d': 'leopart/leopart-d_vit-s16_2xb32-50e_coco.py',
    'official': 'ibot/ibot_vit-s16_8x64-800e_coco.py',
}


def config_of(variant: str, args: argparse.Namespace) -> Config:
    """The shipped config of a variant, with the sizes of the options and a learning rate as early in the warm-up."""
    cfg = Config.fromfile(CONFIGS / CONFIG_OF[variant])
    cfg.optim_wrapper.precision = args.precision
    cfg.optim_wrapper.optimizer.lr = 1e-6
    model = cfg.model
    if model.type == 'DenseCL':
        channels = 512 if args.depth < 50 else 2048
        model.backbone.depth = args.depth
        model.neck.update(in_channels=channels, hid_channels=channels)
        model.queue_length = args.queue
        model.data_preprocessor.channels_last = args.channels_last
        return cfg
    if model.type == 'ReSim':
        model.backbone.depth = args.depth
        model.neck.in_channels = [channels // (1 if args.depth > 34 else 4) for channels in model.neck.in_channels]
        model.queue_length = args.queue
        model.data_preprocessor.channels_last = args.channels_last
        return cfg
    if model.type in ('SoCo', 'PixPro', 'PLRC'):
        if model.type == 'PLRC':
            model.queue_length = args.queue
        model.backbone.depth = args.depth
        model.neck.in_channels = 512 if args.depth < 50 else 2048
        model.data_preprocessor.channels_last = args.channels_last
        return cfg
    vit = dict(img_size=args.size, patch_size=args.patch)
    model.backbone.update(vit, arch=args.arch)
    model.neck.in_channels = VisionTransformer.arch_zoo[args.arch]['embed_dims']
    if model.type == 'IBOT':
        model.neck.out_channels = args.prototypes
        model.mim_mask = Config.fromfile(CONFIGS / CONFIG_OF['ibot']).model.mim_mask
        if 'local_views' in model:
            model.local_views = args.locals
    elif model.type == 'Leopart':
        model.local_views = args.locals
        model.backbone.weights = None
    else:
        model.teacher.backbone.update(vit, arch=args.teacher)
        model.teacher.checkpoint = 'random'
        model.neck.out_channels = VisionTransformer.arch_zoo[args.teacher]['embed_dims']
    return cfg


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
    local = '-mc' in variant or variant.startswith('leopart')
    sizes = [args.size] * 2 + [args.local_size] * (args.locals if local else 0)
    if variant.startswith('maskalign'):
        sizes = [args.size]
    if variant.startswith('plrc'):
        sizes = [args.size] * 3
    views = [torch.randint(0, 256, (args.batch, 3, size, size), dtype=torch.uint8) for size in sizes]
    return [view.pin_memory() for view in views] if args.device == 'cuda' else views


def samples_of(variant: str, args: argparse.Namespace) -> list[BaseDataElement] | None:
    """Returns the samples of the views: proposals for SoCo, or crop windows for Leopart, PixPro, PLRC and ReSim."""
    if variant.startswith('soco'):
        low = 0.5 * torch.rand(args.batch, 1, 4, 2)
        boxes = torch.cat([low, low + 0.3 + 0.2 * torch.rand(args.batch, 1, 4, 2)], dim=3).expand(-1, 2, -1, -1)
        return [BaseDataElement(boxes=some, box_ids=torch.arange(4).expand(2, 4)) for some in boxes]
    if variant.startswith('plrc'):
        windows = [[40.0, 40, 400, 400, 0], [200.0, 20, 360, 440, 1], [100.0, 60, 400, 380, 1]]
        return [BaseDataElement(geometry=torch.tensor([[*w, 480, 640] for w in windows]))] * args.batch
    if variant.startswith(('leopart', 'pixpro', 'resim')):
        local = args.locals if variant.startswith('leopart') else 0
        windows = [[0.0, 0, 400, 400], [200.0, 100, 400, 400], *[[240.0, 160, 160, 160]] * local]
        geometry = torch.tensor([[*window, 0, 480, 640] for window in windows])
        return [BaseDataElement(geometry=geometry) for _ in range(args.batch)]
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
