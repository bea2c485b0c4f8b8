"""ReSim's heads: MoCo v2's projection of the pooled map, and the maps from which windows are pooled."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings


@MODELS.register_module()
class ReSimNeck(BaseModule):
    """A two-layer MLP on the pooled last map, and one region map for each earlier map.

    An earlier map passes a 1 x 1 convolution, to which the coarser level is added (nearest neighbor), and a 3 x 3
    convolution. There are no norms and no activations.

    Args:
        in_channels: Channels of the maps of the backbone, finest first, at least two numbers; the last map is pooled.
        hid_channels: Channels of the hidden layer of the MLP.
        out_channels: Channels of the projection.
        channels: Channels of the region maps.
        top_down: Whether the coarser level, including that of the last map, is added to each level.
        init_cfg: Weight initialization of mmengine; None initializes the convolutions with uniform weights by fan-in
            and zero biases, and the MLP with torch's default.

    Raises:
        SettingError: A value is out of range.

    Source: arXiv 2103.12902; `Tete-Xiao/ReSim moco/models.py`, without `--fpn-bn`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        hid_channels: int = 2048,
        out_channels: int = 128,
        channels: int = 256,
        top_down: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Caffe2Xavier', layer='Conv2d'))
        check = Settings(self, 'model.neck')
        in_channels = check.numbers('in_channels', in_channels, minimum=1, whole=True)
        if len(in_channels) < 2:
            check.refuse('in_channels', 'must have at least two numbers; the last map is pooled')
        for key, value in (('hid_channels', hid_channels), ('out_channels', out_channels), ('channels', channels)):
            check.number(key, value, 1, whole=True)
        self.top_down = check.flag('top_down', top_down)
        last = in_channels[-1]
        self.mlp = nn.Sequential(nn.Linear(last, hid_channels), nn.ReLU(), nn.Linear(hid_channels, out_channels))
        lateral = in_channels if top_down else in_channels[:-1]
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in lateral)
        self.outputs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in in_channels[:-1])

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Returns the projection (N, out_channels), and the region maps (N, channels, h, w), coarsest first."""
        projection = self.mlp(maps[-1].mean((2, 3)))
        laterals = [lateral(map) for lateral, map in zip(self.laterals, maps)]
        above = laterals.pop() if self.top_down else None
        regions = []
        for lateral, output in zip(reversed(laterals), reversed(self.outputs)):
            if above is not None:
                lateral = lateral + F.interpolate(above, size=lateral.shape[2:], mode='nearest')
            regions.append(output(lateral))
            above = lateral if self.top_down else None
        return projection, regions
