"""SoCo's feature pyramid with a box head, which pools each region from the level of its size."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from mmdecouple.decoupling.regions import pool_regions
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings


@MODELS.register_module()
class RegionPyramid(BaseModule):
    """FPN, RoIAlign on one level per region, four convolutions, a linear layer and the projector.

    Args:
        in_channels: Channels of the maps of the backbone, finest first.
        projector: Config of the projector, which is applied to the features of the head.
        channels: Channels of the pyramid and the convolutions.
        fc_channels: Channels of the linear layer.
        norm_cfg: Norm of the pyramid and the head; None for `SyncBN`.
        limits: Largest side of a region on each level, finest first, in pixels of the view, where the side is the root
            of width times height. Strictly ascending, one number per map.
        roi_size: Side of the pooled map of a region in bins.

    Raises:
        SettingError: A value is out of range.

    Source: arXiv 2106.02637 section 3.4; `hologerry/SoCo contrast/models/SoCo_FPN.py`, `fpn.py`,
        `fast_rcnn_conv_fc_head.py`. The official head runs on all levels of every box, although each box is used on one
        level only; this head runs on that level.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        projector: dict,
        channels: int = 256,
        fc_channels: int = 1024,
        norm_cfg: dict | None = None,
        limits: Sequence[int] = (48, 96, 192, 224),
        roi_size: int = 7,
    ) -> None:
        super().__init__()
        check = Settings(self, 'model.neck')
        in_channels = check.numbers('in_channels', in_channels, minimum=1, whole=True)
        check.block('projector', projector)
        check.block('norm_cfg', norm_cfg, optional=True)
        for key, value in (('channels', channels), ('fc_channels', fc_channels), ('roi_size', roi_size)):
            check.number(key, value, 1, whole=True)
        limits = check.numbers('limits', limits, len(in_channels), above=0)
        if list(limits) != sorted(set(limits)):
            check.refuse('limits', f'must ascend, got {limits}')
        norm_cfg = norm_cfg or dict(type='SyncBN')
        self.pyramid = FeaturePyramidNetwork(
            list(in_channels), channels, norm_layer=lambda width: build_norm_layer(norm_cfg, width)[1]
        )
        self.convs = nn.Sequential(*(ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg) for _ in range(4)))
        self.fc = nn.Linear(channels * roi_size**2, fc_channels)
        self.projector = MODELS.build(projector)
        self.limits = limits
        self.roi_size = roi_size

    def levels(self, boxes: Tensor, view: Sequence[int]) -> Tensor:
        """Returns the level of each region, (N, K): 0 for the finest, -1 for no level.

        Args:
            boxes: x1, y1, x2, y2 as fractions of the view, in [0, 1], (N, K, 4).
            view: Height and width of the view in pixels.
        """
        side = (boxes[..., 2:] - boxes[..., :2]) * boxes.new_tensor([view[1], view[0]])
        side = (side + 1e-3).floor().prod(-1).sqrt()
        level = torch.bucketize(side, side.new_tensor(self.limits))
        return torch.where(level < len(self.limits), level, -1)

    def forward(self, maps: Sequence[Tensor], boxes: Tensor, levels: Tensor) -> Tensor:
        """Returns the projections of regions, float32 (N, K, out_channels).

        Args:
            maps: Maps of the backbone, finest first, each (N, C_l, h_l, w_l).
            boxes: x1, y1, x2, y2 as fractions of the view, in [0, 1], (N, K, 4).
            levels: Level of each region from `levels`, (N, K); a region without a level is pooled from the coarsest.
        """
        pyramid = self.pyramid({str(level): map for level, map in enumerate(maps)})
        aligned = torch.stack([pool_regions(map, boxes, self.roi_size) for map in pyramid.values()])
        chosen = levels.flatten() % len(aligned)
        features = aligned[chosen, torch.arange(len(chosen), device=chosen.device)]
        features = self.convs(features.to(maps[0].dtype))
        (projection,) = self.projector((self.fc(features.flatten(1)).relu(),))
        return projection.float().unflatten(0, boxes.shape[:2])
