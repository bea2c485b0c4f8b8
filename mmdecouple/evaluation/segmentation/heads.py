"""The two heads that are trained on frozen features."""

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn


class LinearHead(nn.Module):
    """A linear classifier of every position.

    The reference enlarges the features and classifies the result; a bilinear mean commutes with a linear map, so this
    enlarges the logits, which are fewer.

    Args:
        in_channels: Channels of the features.
        num_classes: Number of classes.

    Source: `MkuuWaUjinga/leopart` `experiments/linear_probing/linear_finetune.py`.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, features: Tensor, size: int) -> Tensor:
        """Logits (B, classes, size, size) of features (B, C, h, w)."""
        return enlarge(self.classifier(features), size)


class FCNHead(nn.Module):
    """Two 3 x 3 convolutions, one more on their output beside the input, and a classifier; ReLU, no norm layers.

    Args:
        in_channels: Channels of the features.
        num_classes: Number of classes.
        channels: Channels of the convolutions.
        dropout: Share of the channels dropped before the classifier, in [0, 1).

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
        """Logits (B, classes, size, size) of features (B, C, h, w), which are enlarged first."""
        features = enlarge(features, size)
        hidden = self.fuse(torch.cat([features, self.convs(features)], dim=1))
        return self.classifier(self.dropout(hidden))


def enlarge(maps: Tensor, size: int) -> Tensor:
    """Maps (B, C, h, w) bilinearly at (B, C, size, size)."""
    return F.interpolate(maps, size=(size, size), mode='bilinear', align_corners=False)
