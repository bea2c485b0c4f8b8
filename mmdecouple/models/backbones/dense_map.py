"""What a backbone of another package says about dense features."""
import math

import torch.nn.functional as F
from torch import Tensor, nn


def dense_map(backbone: nn.Module, images: Tensor) -> Tensor:
    """Feature map that the measures read.

    For a ResNet, as in the paper's App. E.3.2: the output of the last stage but one is enlarged (bilinear) by
    the stride of the last stage, so that the last stage runs on it at twice the usual resolution: 14 x 14 for
    a view of 224 pixels. A backbone with a `dense_map` of its own, such as `DenseViT`, is asked; any other gives its
    last output.

    Args:
        backbone: A ResNet of mmpretrain, or any module whose output (or last output) is a map.
        images: Normalized images, (B, 3, H, W).

    Returns:
        Map (B, C, h, w).
    """
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
