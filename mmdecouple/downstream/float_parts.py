"""Parts of a detector that keep float32 under mixed precision, as they compute with coordinates."""

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from mmdecouple.registry import MODELS


@MODELS.register_module()
class FloatRPNHead(RPNHead):
    """mmdet's `RPNHead`; what follows its convolutions (decoding, non-maximum suppression, losses) is in float32.

    mmcv's suppression takes nothing else on the CPU.

    Args: see mmdet's class.
    """

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, A, h, w) and box deltas (B, 4 A, h, w) of a map (B, C, h, w) with A anchors at each position."""
        scores, deltas = super().forward_single(x)
        return scores.float(), deltas.float()


@MODELS.register_module()
class FloatRoIExtractor(SingleRoIExtractor):
    """mmdet's `SingleRoIExtractor` in float32.

    mmdet's class rounds boxes to the precision of the maps, which moves a corner at 1000 pixels by up to 0.25 pixels in
    fp16 and by up to 2 in bf16, and mmcv's RoIAlign has no bf16 at all.

    Args: see mmdet's class.
    """

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Features of boxes.

        Args:
            feats: Maps (B, C, h, w), one for each level.
            rois: Boxes (N, 5): index of the image in the batch, x1, y1, x2, y2 in pixels.
            roi_scale_factor: Enlarges the boxes.

        Returns:
            (N, C, side, side), float32.
        """
        with torch.autocast(rois.device.type, enabled=False):
            return super().forward(tuple(level.float() for level in feats), rois.float(), roi_scale_factor)
