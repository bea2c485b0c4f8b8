"""The configs that the step benchmark compares.

Every variant is a shipped config, resized by the options. All iBOT variants use iBOT's block masks, so that a ratio
shows the effect of the branch and not of a different number of masked patches.
"""

import argparse
from pathlib import Path

from mmengine.config import Config

from mmdecouple.models import DenseViT

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
    'posttrain-d': 'posttrain/ibot-d_vit-s14-dinov2-reg_8x64-50e_coco.py',
    'posttrain-d-gram': 'posttrain/ibot-d-gram_vit-s14-dinov2-reg_8x64-50e_coco.py',
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
    'unirefiner': 'unirefiner/unirefiner_vit-s16_2xb8-2e_coco-5pct.py',
    'unirefiner-d': 'unirefiner/unirefiner-d_vit-s16_2xb8-2e_coco-5pct.py',
    'neco': 'neco/neco_vit-s16_1xb45-50e_coco.py',
    'neco-d': 'neco/neco-d_vit-s16_1xb45-50e_coco.py',
    'paka': 'paka/paka_vit-s16_1xb64-50e_coco.py',
    'paka-d': 'paka/paka-d_vit-s16_1xb64-50e_coco.py',
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
    model.backbone.update(vit, arch=args.arch, weights=None)
    if 'neck' in model:
        model.neck.in_channels = _width(args.arch)
    if model.type == 'IBOT':
        model.neck.out_channels = args.prototypes
        model.mim_mask = Config.fromfile(CONFIGS / CONFIG_OF['ibot']).model.mim_mask
        if 'local_views' in model:
            model.local_views = args.locals
    elif model.type in ('Leopart', 'NeCo', 'PaKA'):
        model.local_views = args.locals
    elif model.type == 'MaskAlign':
        model.teacher.backbone.update(vit, arch=args.teacher)
        model.teacher.checkpoint = 'random'
        model.neck.out_channels = _width(args.teacher)
    return cfg


def _width(arch: str | dict) -> int:
    return (arch if isinstance(arch, dict) else DenseViT.arch_zoo[arch])['embed_dims']
