"""Modules of detectors that compute with coordinates and use float32 under mixed precision."""

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from mmdecouple.registry import MODELS


@MODELS.register_module()
class FloatRPNHead(RPNHead):
    """mmdet's `RPNHead` with float32 after its convolutions: decoding, non-maximum suppression and losses.

    On the CPU, mmcv's non-maximum suppression supports float32 only.

    Args: see mmdet's class.
    """

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scores `(B, A, h, w)` and box deltas `(B, 4 A, h, w)` of a map `(B, C, h, w)` with A anchors each."""
        scores, deltas = super().forward_single(x)
        return scores.float(), deltas.float()


@MODELS.register_module()
class FloatRoIExtractor(SingleRoIExtractor):
    """mmdet's `SingleRoIExtractor` in float32.

    mmdet's class rounds boxes to the precision of the maps, which moves a corner at 1000 pixels by up to 0.25 pixels in
    fp16 and by up to 2 pixels in bf16, and mmcv's RoIAlign does not support bf16.

    Args: see mmdet's class.
    """

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Extracts the features of boxes.

        Args:
            feats: Maps `(B, C, h, w)`, one per level.
            rois: Boxes `(N, 5)`: index of the image in the batch, x1, y1, x2, y2 in pixels.
            roi_scale_factor: Factor by which the boxes are enlarged; None for no enlargement.

        Returns:
            Float32 `(N, C, side, side)`.
        """
        with torch.autocast(rois.device.type, enabled=False):
            return super().forward(tuple(level.float() for level in feats), rois.float(), roi_scale_factor)
