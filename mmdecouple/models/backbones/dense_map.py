"""What a backbone of another package says about dense features."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdecouple.utils.errors import UserError


def dense_map(
    backbone: nn.Module, images: Tensor, mask: Tensor | None = None, layer: str | None = None, class_token: bool = False
) -> Tensor:
    """Feature map that the measures read.

    For a ResNet, as in the paper's App. E.3.2: the output of the last stage but one is enlarged (bilinear) by
    the stride of the last stage, so that the last stage runs on it at twice the usual resolution: 14 x 14 for
    a view of 224 pixels. A backbone with a `dense_map` of its own, such as `DenseViT`, is asked; any other gives its
    last output.

    Args:
        backbone: A ResNet of mmpretrain, or any module whose output (or last output) is a map.
        images: Normalized images, (B, 3, H, W).
        mask: Patches that the backbone's mask token replaces, bool (B, h, w); None for none.
        layer: Name of an earlier place to read instead, one of `layer_strides`: its plain output, without a final norm
            and not enlarged; None for the last.
        class_token: Whether to read the class token of that place instead, as a map of one cell.

    Returns:
        Map (B, C, h, w); of the class token (B, C, 1, 1).

    Raises:
        ValueError: There is a mask, but no mask token; the backbone has no such layer, or no class token.
    """
    given = {}
    if class_token:
        if not getattr(backbone, 'has_class_token', False):
            raise UserError(
                f"{type(backbone).__name__} has no class token; leave LSC's crop_feature at 'patches' for it."
            )
        given['class_token'] = True
    if layer is not None:
        given['layer'] = layer
        measured_stride(backbone, layer)
    if mask is not None:
        if getattr(backbone, 'mask_token', None) is None:
            raise UserError(
                f'{type(backbone).__name__} has no mask token to put in place of removed cells; remove '
                "them from the image instead (removal 'mask' or 'shrink')."
            )
        return backbone.dense_map(images, mask, **given)
    if hasattr(backbone, 'dense_map'):
        return backbone.dense_map(images, **given)
    if not hasattr(backbone, 'res_layers'):
        out = backbone(images)
        return out[-1] if isinstance(out, (tuple, list)) else out
    if layer is not None:
        return _run_stages(backbone, images, backbone.res_layers[: backbone.res_layers.index(layer) + 1])
    x, last = split_last_stage(backbone, images)
    if backbone.strides[-1] > 1:
        x = F.interpolate(x, scale_factor=backbone.strides[-1], mode='bilinear', align_corners=False)
    return last(x)


def split_last_stage(backbone: nn.Module, images: Tensor) -> tuple[Tensor, nn.Module]:
    """What enters the last stage of a ResNet (conv4's output for four stages), and that stage."""
    *earlier, last = backbone.res_layers
    return _run_stages(backbone, images, earlier), getattr(backbone, last)


def _run_stages(backbone: nn.Module, images: Tensor, stages: list[str]) -> Tensor:
    x = backbone.stem(images) if backbone.deep_stem else backbone.relu(backbone.norm1(backbone.conv1(images)))
    x = backbone.maxpool(x)
    for name in stages:
        x = getattr(backbone, name)(x)
    return x


def stride_of(backbone: nn.Module) -> int | None:
    """Pixels of a view per position of the last output; None if the backbone does not say."""
    if hasattr(backbone, 'res_layers'):
        return 4 * math.prod(backbone.strides)
    return getattr(backbone, 'stride', None)


def layer_strides(backbone: nn.Module) -> dict[str, int]:
    """Pixels of an image per position of all that `dense_map` can read: blocks of a ViT from 1, stages of a CNN."""
    if hasattr(backbone, 'res_layers'):
        return {name: 4 * math.prod(backbone.strides[:index]) for index, name in enumerate(backbone.res_layers, 1)}
    return getattr(backbone, 'layer_strides', {})


def measured_stride(backbone: nn.Module, layer: str | None = None) -> int | None:
    """Pixels of an image per position of `dense_map`; None if the backbone does not say.

    Raises:
        ValueError: The backbone has no such layer.
    """
    if layer is not None:
        known = layer_strides(backbone)
        if layer not in known:
            raise UserError(
                f'there is no layer {layer}; the backbone has '
                f'{", ".join(known) or "none that can be named"} (tools: --layer).'
            )
        return known[layer]
    stride = stride_of(backbone)
    return stride // backbone.strides[-1] if hasattr(backbone, 'res_layers') else stride


def finite_map(features: Tensor) -> Tensor:
    """A map (B, C, h, w) as it is, in float32.

    Raises:
        UserError: A value is NaN or infinite: finite weights can still be so large that a network overflows.
    """
    features = features.float()
    if not features.isfinite().all():
        raise UserError(
            'the network gives features that are not finite: its weights are damaged or its training went '
            'wrong; take another checkpoint.'
        )
    return features


def predict_maps(
    read: Callable[..., Tensor], images: list[Tensor], data_samples: list[BaseDataElement] | None, mode: str
) -> list[Tensor] | list[BaseDataElement]:
    """The dense maps of images of any sizes, in mmengine's modes of prediction.

    Args:
        read: Map (B, C, h, w) of normalized images (B, 3, H, W), and of a mask (B, h, w) if a sample has one; takes
            `class_token=True` if a sample asks for it.
        images: Normalized images (3, H, W); those of one size are read together.
        data_samples: Samples to put the maps into; None makes them. `masked` (h, w) of a sample, bool, are patches that
            the network's mask token replaces; where its `class_token` is True that is read, as a map of one cell.
        mode: `predict` gives per image a sample with `dense` (C, h, w); `tensor` gives the list of these maps.
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
        asked = dict(class_token=True) if class_token else {}
        for index, features in zip(indices, read(batch, *mask, **asked)):
            maps[index] = features
    if mode == 'tensor':
        return maps
    for sample, features in zip(samples, maps):
        sample.set_data(dict(dense=features))
    return samples
