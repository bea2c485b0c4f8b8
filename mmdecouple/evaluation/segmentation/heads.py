"""Segmentation heads that are trained on frozen features."""

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn


class LinearHead(nn.Module):
    """Linear classifier of every position.

    The reference enlarges the features and classifies the result. Bilinear interpolation commutes with a linear map, so
    this class enlarges the logits, which have fewer channels.

    Args:
        in_channels: Channels of the features.
        num_classes: Number of classes.
        batch_norm: Whether a batch norm precedes the classifier.

    Source: `MkuuWaUjinga/leopart` `experiments/linear_probing/linear_finetune.py`; `facebookresearch/dinov2`
        `dinov2/eval/segmentation/models/decode_heads/linear_head.py` for the batch norm.
    """

    def __init__(self, in_channels: int, num_classes: int, batch_norm: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels) if batch_norm else nn.Identity()
        self.classifier = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, features: Tensor, size: int) -> Tensor:
        """Returns logits `(B, num_classes, size, size)` of features `(B, C, h, w)`."""
        return enlarge(self.classifier(self.norm(features)), size)


class FCNHead(nn.Module):
    """FCN head: two 3 x 3 convolutions, one that fuses their output with the input, and a classifier.

    The convolutions are followed by ReLU; there are no norm layers.

    Args:
        in_channels: Channels of the features.
        num_classes: Number of classes.
        channels: Channels of the convolutions.
        dropout: Probability of dropping a channel before the classifier, in [0, 1).

    Source: `MkuuWaUjinga/leopart` `experiments/linear_probing/fcn/fcn_head.py` (`FCNHead` of mmsegmentation).
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int = 512, dropout: float = 0.1) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            ConvModule(in_channels, channels, 3, padding=1), ConvModule(channels, channels, 3, padding=1)
        )
        self.fuse = ConvModule(in_channels + channels, channels, 3, padding=1)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Tensor, size: int) -> Tensor:
        """Returns logits `(B, num_classes, size, size)` of features `(B, C, h, w)`, which are enlarged first."""
        features = enlarge(features, size)
        hidden = self.fuse(torch.cat([features, self.convs(features)], dim=1))
        return self.classifier(self.dropout(hidden))


def enlarge(maps: Tensor, size: int) -> Tensor:
    """Resizes maps `(B, C, h, w)` to `(B, C, size, size)` bilinearly."""
    return F.interpolate(maps, size=(size, size), mode='bilinear', align_corners=False)
