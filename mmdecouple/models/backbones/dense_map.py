"""Dense feature maps and strides of backbones, also those of other packages."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdecouple.utils.errors import UserError


def dense_map(
    backbone: nn.Module, images: Tensor, mask: Tensor | None = None, layer: str | None = None, class_token: bool = False
) -> Tensor:
    """Returns the feature map that the measures read, (B, C, h, w), of one layer; see `dense_maps`."""
    return dense_maps(backbone, images, [layer], mask, class_token)[0]


def dense_maps(
    backbone: nn.Module,
    images: Tensor,
    layers: Sequence[str | None],
    mask: Tensor | None = None,
    class_token: bool = False,
) -> list[Tensor]:
    """Returns the feature maps of several layers from one pass over the images.

    The last map of a ResNet is computed as in the paper's App. E.3.2: the input of the last stage is enlarged
    (bilinear) by the stride of that stage, so that the stage runs at twice the usual resolution: 14 x 14 for a view of
    224 pixels. A backbone with a method `dense_maps`, such as `DenseViT`, computes the maps itself, and one with a
    method `dense_map` does so in one pass per layer; any other backbone returns its last output.

    Args:
        backbone: A ResNet of mmpretrain, or any module whose output (or last output) is a map.
        images: Normalized images, (B, 3, H, W).
        layers: Layers to read: None for the last one, or one of `layer_strides` for its plain output, without a final
            norm and not enlarged.
        mask: Patches that the mask token of the backbone replaces, bool (B, h, w); None for no mask.
        class_token: Whether to read the class token of these layers instead, as a map of one cell.

    Returns:
        Map of each layer, (B, C, h, w), or (B, C, 1, 1) for the class token.

    Raises:
        UserError: The backbone lacks the mask token, a layer or the class token that is requested.
    """
    options = {}
    if class_token:
        if not getattr(backbone, 'has_class_token', False):
            raise UserError(
                f"{type(backbone).__name__} has no class token; leave LSC's crop_feature at 'patches' for it."
            )
        options['class_token'] = True
    for layer in layers:
        if layer is not None:
            measured_stride(backbone, layer)
    if mask is not None:
        if getattr(backbone, 'mask_token', None) is None:
            raise UserError(
                f'{type(backbone).__name__} has no mask token to put in place of removed cells; remove '
                "them from the image instead (removal 'mask' or 'shrink')."
            )
        options['mask'] = mask
    if hasattr(backbone, 'dense_maps'):
        return backbone.dense_maps(images, layers, **options)
    if hasattr(backbone, 'dense_map'):
        named = [{} if layer is None else dict(layer=layer) for layer in layers]
        return [backbone.dense_map(images, **options, **name) for name in named]
    if hasattr(backbone, 'res_layers'):
        return _resnet_maps(backbone, images, layers)
    out = backbone(images)
    return [out[-1] if isinstance(out, (tuple, list)) else out for _ in layers]


def _resnet_maps(backbone: nn.Module, images: Tensor, layers: Sequence[str | None]) -> list[Tensor]:
    places = [None if layer is None else backbone.res_layers.index(layer) + 1 for layer in layers]
    before_last = len(backbone.res_layers) - 1
    maps = stage_maps(backbone, images, max(before_last if place is None else place for place in places))
    return [_enlarged_last_map(backbone, maps[before_last]) if place is None else maps[place] for place in places]


def _enlarged_last_map(backbone: nn.Module, x: Tensor) -> Tensor:
    """Returns the output of the last stage of a ResNet for its enlarged input."""
    if backbone.strides[-1] > 1:
        x = F.interpolate(x, scale_factor=backbone.strides[-1], mode='bilinear', align_corners=False)
    return getattr(backbone, backbone.res_layers[-1])(x)


def split_last_stage(backbone: nn.Module, images: Tensor) -> tuple[Tensor, nn.Module]:
    """Returns the input of the last stage of a ResNet (the output of conv4 for four stages), and that stage."""
    count = len(backbone.res_layers) - 1
    return stage_maps(backbone, images, count)[-1], getattr(backbone, backbone.res_layers[count])


def stage_maps(backbone: nn.Module, images: Tensor, count: int | None = None) -> list[Tensor]:
    """Returns the outputs of the stem and of the stages of a ResNet.

    Args:
        backbone: A ResNet of mmpretrain.
        images: Normalized images, (B, 3, H, W).
        count: Number of stages to run; None for all.
    """
    x = backbone.stem(images) if backbone.deep_stem else backbone.relu(backbone.norm1(backbone.conv1(images)))
    maps = [backbone.maxpool(x)]
    for name in backbone.res_layers[:count]:
        maps.append(getattr(backbone, name)(maps[-1]))
    return maps


def stride_of(backbone: nn.Module) -> int | None:
    """Returns the pixels of a view per position of the last output, or None if the backbone does not define it."""
    if hasattr(backbone, 'res_layers'):
        return 4 * math.prod(backbone.strides)
    return getattr(backbone, 'stride', None)


def layer_strides(backbone: nn.Module) -> dict[str, int]:
    """Returns layer -> pixels per position for all layers that `dense_map` can read: ViT blocks from 1, CNN stages."""
    if hasattr(backbone, 'res_layers'):
        return {name: 4 * math.prod(backbone.strides[:index]) for index, name in enumerate(backbone.res_layers, 1)}
    return getattr(backbone, 'layer_strides', {})


def measured_stride(backbone: nn.Module, layer: str | None = None) -> int | None:
    """Returns the pixels of an image per position of `dense_map`, or None if the backbone does not define it.

    Raises:
        UserError: The backbone has no such layer.
    """
    if layer is not None:
        known = layer_strides(backbone)
        if layer not in known:
            raise UserError(
                f'the backbone has no layer {layer}; it has '
                f'{", ".join(known) or "none that can be named"} (tools: --layer).'
            )
        return known[layer]
    stride = stride_of(backbone)
    return stride // backbone.strides[-1] if hasattr(backbone, 'res_layers') else stride


def check_grid(features: Tensor, images: Tensor, stride: int | None) -> None:
    """Checks that the cells of a map tile the images, as features are assigned to regions by the place of their cells.

    Args:
        features: The map, (B, C, h, w).
        images: Input of the network, (B, 3, H, W); sizes that do not divide into cells are not checked.
        stride: Pixels per position as stated; None if unknown, which is not checked.

    Raises:
        UserError: The map has other than H / stride x W / stride positions, as after convolutions without padding.
    """
    (height, width), grid = images.shape[-2:], tuple(features.shape[-2:])
    if stride and not (height % stride or width % stride) and grid != (height // stride, width // stride):
        raise UserError(
            f'the map of the network has {grid[0]} x {grid[1]} positions for {height} x {width} pixels, and not the '
            f'{height // stride} x {width // stride} of the stride {stride} that is stated for it, so its positions '
            'cannot be placed in the image.'
        )


def finite_map(features: Tensor, layer: str | None = None) -> Tensor:
    """Returns a map (B, C, h, w) of a layer in float32 after a check that it is finite.

    Raises:
        UserError: A value is NaN or infinite; also finite weights can be so large that a network overflows.
    """
    features = features.float()
    if not features.isfinite().all():
        where = '' if layer is None else f' at layer {layer}'
        raise UserError(
            f'the features of the network{where} are not finite: its weights are damaged or its training diverged; use '
            'another checkpoint.'
        )
    return features


def predict_maps(
    read: Callable[..., Tensor], images: list[Tensor], data_samples: list[BaseDataElement] | None, mode: str
) -> list[Tensor] | list[BaseDataElement]:
    """Computes the dense maps of images of any sizes, in mmengine's modes `predict` and `tensor`.

    Args:
        read: Function that returns the map (B, C, h, w) of normalized images (B, 3, H, W). It also takes a mask
            (B, h, w) if samples have one, and `class_token=True` if samples request it.
        images: Normalized images, each (3, H, W); images of the same size are processed together.
        data_samples: Samples that the maps are stored in; None creates them. The field `masked`, bool (h, w), marks
            patches that the mask token replaces; with `class_token=True`, the class token is read as a map of one cell.
        mode: `predict` returns one sample with `dense` (C, h, w) per image, `tensor` the list of these maps.
    """
    samples = data_samples or [BaseDataElement() for _ in images]
    groups: dict[tuple, list[int]] = {}
    for index, (image, sample) in enumerate(zip(images, samples)):
        kind = tuple(image.shape), 'masked' in sample, sample.get('class_token', False)
        groups.setdefault(kind, []).append(index)
    maps: list[Tensor] = [None] * len(images)
    for (_, masked, class_token), indices in groups.items():
        batch = torch.stack([images[i] for i in indices])
        mask = [torch.stack([samples[i].masked for i in indices]).to(batch.device)] if masked else []
        options = dict(class_token=True) if class_token else {}
        for index, features in zip(indices, read(batch, *mask, **options)):
            maps[index] = features
    if mode == 'tensor':
        return maps
    for sample, features in zip(samples, maps):
        sample.set_data(dict(dense=features))
    return samples
