"""What a backbone of another package says about dense features."""
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor, nn


def dense_map(backbone: nn.Module, images: Tensor, mask: Tensor | None = None) -> Tensor:
    """Feature map that the measures read.

    For a ResNet, as in the paper's App. E.3.2: the output of the last stage but one is enlarged (bilinear) by
    the stride of the last stage, so that the last stage runs on it at twice the usual resolution: 14 x 14 for
    a view of 224 pixels. A backbone with a `dense_map` of its own, such as `DenseViT`, is asked; any other gives its
    last output.

    Args:
        backbone: A ResNet of mmpretrain, or any module whose output (or last output) is a map.
        images: Normalized images, (B, 3, H, W).
        mask: Patches that the backbone's mask token replaces, bool (B, h, w); None for none.

    Returns:
        Map (B, C, h, w).

    Raises:
        ValueError: There is a mask, but no mask token.
    """
    if mask is not None:
        if getattr(backbone, 'mask_token', None) is None:
            raise ValueError(f'{type(backbone).__name__} has no mask token to put in place of removed cells; remove '
                             "them from the image instead (removal 'mask' or 'shrink').")
        return backbone.dense_map(images, mask)
    if hasattr(backbone, 'dense_map'):
        return backbone.dense_map(images)
    if not hasattr(backbone, 'res_layers'):
        out = backbone(images)
        return out[-1] if isinstance(out, (tuple, list)) else out
    x, last = split_last_stage(backbone, images)
    if backbone.strides[-1] > 1:
        x = F.interpolate(x, scale_factor=backbone.strides[-1], mode='bilinear', align_corners=False)
    return last(x)


def split_last_stage(backbone: nn.Module, images: Tensor) -> tuple[Tensor, nn.Module]:
    """What enters the last stage of a ResNet (conv4's output for four stages), and that stage."""
    x = backbone.stem(images) if backbone.deep_stem else backbone.relu(backbone.norm1(backbone.conv1(images)))
    x = backbone.maxpool(x)
    *earlier, last = [getattr(backbone, name) for name in backbone.res_layers]
    for stage in earlier:
        x = stage(x)
    return x, last


def stride_of(backbone: nn.Module) -> int | None:
    """Pixels of a view per position of the last output; None if the backbone does not say."""
    if hasattr(backbone, 'res_layers'):
        return 4 * math.prod(backbone.strides)
    return getattr(backbone, 'stride', None)


def measured_stride(backbone: nn.Module) -> int | None:
    """Pixels of an image per position of `dense_map`; None if the backbone does not say."""
    stride = stride_of(backbone)
    return stride // backbone.strides[-1] if hasattr(backbone, 'res_layers') else stride


def predict_maps(read: Callable[..., Tensor], images: list[Tensor], data_samples: list[BaseDataElement] | None,
                 mode: str) -> list[Tensor] | list[BaseDataElement]:
    """The dense maps of images of any sizes, in mmengine's modes of prediction.

    Args:
        read: Map (B, C, h, w) of normalized images (B, 3, H, W), and of a mask (B, h, w) if a sample has one.
        images: Normalized images (3, H, W); those of one size are read together.
        data_samples: Samples to put the maps into; None makes them. `masked` (h, w) of a sample, bool, are patches that
            the network's mask token replaces.
        mode: `predict` gives per image a sample with `dense` (C, h, w); `tensor` gives the list of these maps.
    """
    samples = data_samples or [BaseDataElement() for _ in images]
    groups: dict[tuple, list[int]] = {}
    for index, (image, sample) in enumerate(zip(images, samples)):
        groups.setdefault((tuple(image.shape), 'masked' in sample), []).append(index)
    maps: list[Tensor] = [None] * len(images)
    for (_, masked), indices in groups.items():
        mask = [torch.stack([samples[i].masked for i in indices])] if masked else []
        for index, features in zip(indices, read(torch.stack([images[i] for i in indices]), *mask)):
            maps[index] = features
    if mode == 'tensor':
        return maps
    for sample, features in zip(samples, maps):
        sample.set_data(dict(dense=features))
    return samples
