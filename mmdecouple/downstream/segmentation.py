"""Modules of segmentors and their data; the only module of this package that imports mmseg."""

from collections.abc import Sequence
from pathlib import Path

from mmseg.datasets import BaseSegDataset
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmdecouple.registry import DATASETS, MODELS


@DATASETS.register_module()
class MappedImages(BaseSegDataset):
    """mmseg's `BaseSegDataset`, restricted to images whose label map exists.

    Args: see mmseg's class.
    """

    def load_data_list(self) -> list[dict]:
        """Returns the records with a label map."""
        return [record for record in super().load_data_list() if Path(record['seg_map_path']).is_file()]


@MODELS.register_module()
class NormedLinearHead(BaseDecodeHead):
    """Head of a batch norm and a 1 x 1 convolution on frozen features.

    Args:
        in_channels: Channels C of the selected map.
        **kwargs: Arguments of mmseg's class: `in_index`, `num_classes`, `norm_cfg`, `loss_decode`, ...

    Source: `BNHead` in `facebookresearch/dinov2` `dinov2/eval/segmentation`.
    """

    def __init__(self, in_channels: int, **kwargs) -> None:
        super().__init__(in_channels=in_channels, channels=in_channels, **kwargs)
        self.bn = nn.SyncBatchNorm(in_channels)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Returns class scores `(B, K, h, w)` of the selected map `(B, C, h, w)` of the backbone."""
        return self.cls_seg(self.bn(self._transform_inputs(inputs)))
