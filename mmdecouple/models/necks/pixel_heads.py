"""PixPro's heads: projections of the positions of a map, and propagation between the positions."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

# Keeps the derivative of a power below 1 finite where the similarity is zero.
_LEAST_SIMILARITY = 1e-6


@MODELS.register_module()
class PixelMLP(nn.Sequential):
    """Two 1 x 1 convolutions with batch norm and a ReLU between them: (N, C, h, w) -> (N, C', h, w).

    Args:
        in_channels: C.
        hidden_channels: Channels of the first convolution.
        out_channels: C'.
        norm_cfg: Norm between the convolutions; None for synchronized batch norm.

    Source: `zdaxie/PixPro contrast/models/PixPro.py` (`MLP2d`, MIT).
    """

    def __init__(
        self, in_channels: int, hidden_channels: int = 4096, out_channels: int = 256, norm_cfg: dict | None = None
    ) -> None:
        check = Settings(self, 'model.instance_predictor')
        _check_channels(check, in_channels, hidden_channels, out_channels, norm_cfg)
        layers = OrderedDict(
            linear1=nn.Conv2d(in_channels, hidden_channels, 1),
            bn1=build_norm_layer(norm_cfg or dict(type='SyncBN'), hidden_channels)[1],
            relu1=nn.ReLU(inplace=True),
            linear2=nn.Conv2d(hidden_channels, out_channels, 1),
        )
        super().__init__(layers)


@MODELS.register_module()
class PixelHeads(BaseModule):
    """PixPro's projector of positions and, with the instance branch, a second one of the same form.

    Args:
        in_channels: Channels of the backbone's map.
        hidden_channels: Hidden channels of each projector.
        out_channels: Channels of each projection.
        instance: Whether there is a projector of the instance branch.
        norm_cfg: Norm of the projectors; None for synchronized batch norm.

    Source: arXiv 2011.10043; `zdaxie/PixPro contrast/models/PixPro.py` (`projector`, `projector_instance`).
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 4096,
        out_channels: int = 256,
        instance: bool = False,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        check = Settings(self, 'model.neck')
        _check_channels(check, in_channels, hidden_channels, out_channels, norm_cfg)
        check.flag('instance', instance)
        sizes = in_channels, hidden_channels, out_channels, norm_cfg
        self.dense = PixelMLP(*sizes)
        self.instance = PixelMLP(*sizes) if instance else None

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Projects a map (N, C, h, w).

        Returns:
            `dense` (N, h * w, C') and, with the instance branch, `instance` (N, C', h, w), in float32.
        """
        outputs = {'dense': self.dense(features).float().flatten(2).transpose(1, 2)}
        if self.instance is not None:
            outputs['instance'] = self.instance(features).float()
        return outputs


@MODELS.register_module()
class PixelPropagationModule(BaseModule):
    """PixPro's pixel propagation: transformed features of all positions of a view, weighted by similarity.

    y_i = sum_j max(cos(x_i, x_j), 0)^gamma g(x_j) / |g(x_j)| over the positions j of a view. g(x_j) is normalized as in
    the authors' code; the paper's eq. 3 has no normalization.

    Args:
        channels: C, channels of the positions.
        gamma: Exponent of the similarity, above 0.
        layers: Linear layers of g: 0 for the identity, 1, or 2 with batch norm and a ReLU between them.
        norm_cfg: Norm of a g of two layers; None for synchronized batch norm.

    Source: arXiv 2011.10043, eq. 3 and 4; `zdaxie/PixPro contrast/models/PixPro.py` (`featprop`).
    """

    def __init__(self, channels: int = 256, gamma: float = 2.0, layers: int = 1, norm_cfg: dict | None = None) -> None:
        super().__init__()
        check = Settings(self, 'model.predictor')
        check.number('channels', channels, 1, whole=True)
        check.number('gamma', gamma, above=0)
        check.number('layers', layers, 0, 2, whole=True)
        check.block('norm_cfg', norm_cfg, optional=True)
        self.gamma = gamma
        if layers == 0:
            self.transform = nn.Identity()
        elif layers == 1:
            self.transform = nn.Conv2d(channels, channels, 1)
        else:
            self.transform = PixelMLP(channels, channels, channels, norm_cfg)

    def forward(self, dense: Tensor) -> Tensor:
        """Returns the propagated features of the positions of each view, float32: (N, P, C) -> (N, P, C)."""
        with torch.autocast(dense.device.type, enabled=False):
            dense = dense.float()
            value = self.transform(dense.transpose(1, 2)[..., None])[..., 0]
            unit = F.normalize(dense, dim=2)
            similarity = (unit @ unit.transpose(1, 2)).clamp(min=0)
            if self.gamma < 1:
                similarity = similarity + _LEAST_SIMILARITY
            return similarity**self.gamma @ F.normalize(value, dim=1).transpose(1, 2)


def _check_channels(check: Settings, in_channels: int, hidden: int, out: int, norm_cfg: dict | None) -> None:
    for key, value in (('in_channels', in_channels), ('hidden_channels', hidden), ('out_channels', out)):
        check.number(key, value, 1, whole=True)
    check.block('norm_cfg', norm_cfg, optional=True)
