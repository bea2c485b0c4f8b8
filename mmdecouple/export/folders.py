"""Configs of the folders from which transformers and timm load a network."""

from typing import Any

from torch import Tensor, nn

from mmdecouple.models import DenseViT
from mmdecouple.networks.foreign import TimmBackbone
from mmdecouple.utils.errors import UserError

from .features import Features
from .vit_folders import huggingface_vit, timm_vit

_SIZE = 224


def huggingface_config(features: Features) -> dict[str, Any]:
    """Returns the content of `config.json` for a ViT or a `ResNetModel` of transformers.

    Args:
        features: Network with a ViT or a ResNet of this package.

    Raises:
        UserError: transformers has no such network.
    """
    backbone = features.backbone
    if isinstance(backbone, DenseViT):
        return huggingface_vit(backbone)
    if isinstance(backbone, TimmBackbone):
        raise UserError('a model of timm is opened by timm and by AutoModel of transformers; use --to timm.')
    _check_plain(backbone)
    return dict(
        architectures=['ResNetModel'],
        model_type='resnet',
        num_channels=3,
        embedding_size=64,
        hidden_sizes=[_channels(stage) for stage in _stages(backbone)],
        depths=[len(stage) for stage in _stages(backbone)],
        layer_type='bottleneck' if hasattr(backbone.layer1[0], 'conv3') else 'basic',
        hidden_act='relu',
        downsample_in_first_stage=False,
        downsample_in_bottleneck=backbone.style == 'caffe',
    )


def preprocessor_config(features: Features) -> dict[str, Any]:
    """Returns the content of `preprocessor_config.json` for the image processor of transformers."""
    height, width = _input_size(features)
    return dict(
        image_processor_type='ViTImageProcessor',
        do_resize=True,
        size=dict(height=height, width=width),
        resample=3,  # bicubic
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=_rounded(features.mean),
        image_std=_rounded(features.std),
    )


def timm_config(features: Features) -> dict[str, Any]:
    """Returns the content of `config.json` for timm, which `AutoModel` of transformers also reads.

    Args:
        features: Network of this package or of timm.

    Raises:
        UserError: timm has no such network.
    """
    backbone = features.backbone
    if isinstance(backbone, DenseViT):
        name, arguments = timm_vit(backbone)
        width, pool = backbone.embed_dims, 'token'
    elif isinstance(backbone, TimmBackbone):
        model = backbone.model
        name, width, pool = model.default_cfg['architecture'], model.num_features, getattr(model, 'global_pool', 'avg')
        arguments = (
            dict(dynamic_img_size=True) if hasattr(getattr(model, 'patch_embed', None), 'strict_img_size') else {}
        )
    else:
        _check_plain(backbone)
        if backbone.style == 'caffe' and hasattr(backbone.layer1[0], 'conv3'):
            raise UserError("timm's ResNets have their stride in the 3 x 3 convolution, but this one in the 1 x 1.")
        name, arguments, width, pool = f'resnet{backbone.depth}', {}, _channels(backbone.layer4), 'avg'
    return dict(
        architecture=name,
        num_classes=0,
        num_features=width,
        global_pool=pool if isinstance(pool, str) else 'avg',
        model_args=arguments,
        pretrained_cfg=dict(
            num_classes=0,
            input_size=[3, *_input_size(features)],
            fixed_input_size=False,
            interpolation='bicubic',
            crop_pct=1.0,
            mean=_rounded(features.mean),
            std=_rounded(features.std),
            custom_load=False,
            first_conv='conv1' if features.kind == 'ResNet' else None,
            classifier=None,
            pool_size=None,
        ),
    )


def _check_plain(backbone: nn.Module) -> None:
    """Checks that a ResNet of mmpretrain computes what one of torchvision computes with the same tensors."""
    plain = tuple(backbone.strides) == (1, 2, 2, 2) and set(backbone.dilations) == {1} and not backbone.avg_down
    if not plain or backbone.deep_stem:
        raise UserError(
            'this ResNet has other strides, dilations or a deeper stem than those of other libraries; use another '
            'format (--to onnx).'
        )


def _stages(backbone: nn.Module) -> list[nn.Sequential]:
    return [getattr(backbone, name) for name in backbone.res_layers]


def _channels(stage: nn.Sequential) -> int:
    last = stage[-1]
    return getattr(last, 'conv3', last.conv2).out_channels


def _input_size(features: Features) -> list[int]:
    sides = getattr(features.backbone, 'img_size', (_SIZE, _SIZE))
    return [int(side) for side in sides]


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 6) for value in values.flatten().tolist()]
