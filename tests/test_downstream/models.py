"""Small detectors and segmentors, and checkpoints of pre-training to fill them from."""

from mmdet.utils import register_all_modules as register_detection
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmseg.utils import register_all_modules as register_segmentation

from mmdecouple.models.data_preprocessor import IMAGENET_MEAN, IMAGENET_STD

RGB = dict(mean=list(IMAGENET_MEAN), std=list(IMAGENET_STD), bgr_to_rgb=True)
VIT = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)
RESNET = dict(
    type='mmdet.ResNet',
    norm_cfg=dict(type='BN'),
    norm_eval=False,
    style='pytorch',
    init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
)


def detector(backbone, *, neck, channels, strides, **roi):
    coder = dict(type='DeltaXYWHBBoxCoder')
    return dict(
        type='mmdet.FasterRCNN',
        train_cfg=None,
        test_cfg=dict(rpn={}, rcnn={}),
        backbone=backbone,
        neck=neck,
        data_preprocessor=dict(type='DetDataPreprocessor', **RGB),
        rpn_head=dict(
            type='RPNHead',
            in_channels=channels,
            feat_channels=8,
            bbox_coder=coder,
            anchor_generator=dict(type='AnchorGenerator', scales=[2], ratios=[1.0], strides=strides),
        ),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=4),
                out_channels=channels,
                featmap_strides=strides[:4],
            ),
            bbox_head={
                **dict(
                    type='BBoxHead',
                    with_avg_pool=True,
                    num_classes=2,
                    bbox_coder=coder,
                    roi_feat_size=4,
                    in_channels=channels,
                ),
                **roi.pop('bbox_head', {}),
            },
            **roi,
        ),
    )


def c4(depth=50, style='pytorch'):
    channels = 1024 if depth >= 50 else 256
    backbone = {
        **RESNET,
        'depth': depth,
        'style': style,
        'num_stages': 3,
        'strides': (1, 2, 2),
        'dilations': (1, 1, 1),
        'out_indices': (2,),
    }
    return detector(
        backbone,
        neck=None,
        channels=channels,
        strides=[16],
        bbox_head=dict(in_channels=2 * channels, roi_feat_size=2),
        shared_head=dict(
            type='mmdecouple.ResLayerExtraNorm',
            depth=depth,
            norm_cfg=dict(type='BN'),
            init_cfg=dict(type='Pretrained', checkpoint='supervised.pth'),
        ),
    )


def fpn(depth=50):
    inputs = [256, 512, 1024, 2048] if depth >= 50 else [64, 128, 256, 512]
    return detector(
        {**RESNET, 'depth': depth},
        channels=8,
        strides=[4, 8, 16, 32, 64],
        neck=dict(type='mmdet.FPN', in_channels=inputs, out_channels=8, num_outs=5),
    )


def soco_fpn(channels=4, fc_channels=7, norm=True):
    """A detector on a ResNet-18 with a place for the pyramid and the box head of SoCo-FPN."""
    head = dict(
        type='Shared4Conv1FCBBoxHead',
        with_avg_pool=False,
        roi_feat_size=7,
        norm_cfg=dict(type='BN'),
        conv_out_channels=channels,
        fc_out_channels=fc_channels,
    )
    return detector(
        {**RESNET, 'depth': 18},
        channels=channels,
        strides=[4, 8, 16, 32, 64],
        bbox_head=head,
        neck=dict(
            type='mmdet.FPN',
            in_channels=[64, 128, 256, 512],
            out_channels=channels,
            num_outs=5,
            norm_cfg=dict(type='BN') if norm else None,
        ),
    )


def vit(img_size=(32, 64), strides=(4, 8, 16, 32, 64), **options):
    backbone = {
        **dict(type='mmdecouple.PlainViT', arch=VIT, img_size=img_size, patch_size=8, out_indices=(0, 1, 2, 3)),
        **options,
    }
    neck = [
        dict(type='mmdecouple.ViTPyramid', in_channels=32, patch_size=8, norm_cfg=dict(type='BN')),
        dict(type='FPN', in_channels=[32] * 4, out_channels=8, num_outs=5),
    ]
    return detector(backbone, neck=neck, channels=8, strides=list(strides))


def segmentor(stem=False):
    kind = 'ResNetV1c' if stem else 'ResNet'
    return dict(
        type='mmseg.EncoderDecoder',
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', **RGB),
        backbone={**RESNET, 'type': f'mmseg.{kind}', 'depth': 18},
        decode_head=dict(type='mmseg.FCNHead', in_channels=512, channels=4, num_classes=2, num_convs=1),
    )


def build(cfg, checkpoint=None, **initializer):
    """The model of a config, initialized if there is a checkpoint."""
    register_detection(init_default_scope=False)
    register_segmentation(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(
            ConfigDict(cfg, init_cfg=dict(type='mmdecouple.PretrainedBackbone', checkpoint=checkpoint, **initializer))
        )
        if checkpoint is not None:
            model.init_weights()
    return model
