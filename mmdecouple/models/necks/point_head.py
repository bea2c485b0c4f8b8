"""PLRC's head: two projections of the positions of a map."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings


@MODELS.register_module()
class PointHead(BaseModule):
    """MLP of two layers for the contrast, and MLP of three layers with batch norm for affinities, at each position.

    The second MLP ends in an L2-normalized bottleneck, from which affinities are computed. The bottleneck is followed
    by a weight-normalized layer of prototypes without bias, whose gain is fixed at 1.

    Args:
        in_channels: Channels C of the map, at least 1.
        out_channels: Channels of the first projection, at least 1.
        hidden_channels: Width of both MLPs, at least 1.
        bottleneck_channels: Channels of the bottleneck, at least 1.
        prototypes: Number of prototypes, at least 1.

    Raises:
        SettingError: A value is out of range.

    Source: arXiv 2202.04639; `facebookresearch/PLRC PLRC/models/resnet.py` for the sizes and the initialization.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 128,
        hidden_channels: int = 2048,
        bottleneck_channels: int = 256,
        prototypes: int = 4096,
    ) -> None:
        super().__init__()
        check = Settings(self, 'model.neck')
        for key, value in (
            ('in_channels', in_channels),
            ('out_channels', out_channels),
            ('hidden_channels', hidden_channels),
            ('bottleneck_channels', bottleneck_channels),
            ('prototypes', prototypes),
        ):
            check.number(key, value, 1, whole=True)
        self.prototypes = prototypes
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden_channels), nn.ReLU(), nn.Linear(hidden_channels, out_channels)
        )
        self.affinity_mlp = nn.Sequential(
            nn.Linear(in_channels, hidden_channels),
            nn.BatchNorm1d(hidden_channels),
            nn.ReLU(),
            nn.Linear(hidden_channels, hidden_channels),
            nn.BatchNorm1d(hidden_channels),
            nn.ReLU(),
            nn.Linear(hidden_channels, bottleneck_channels),
        )
        self.last_layer = weight_norm(nn.Linear(bottleneck_channels, prototypes, bias=False))
        self.last_layer.parametrizations.weight.original0.requires_grad_(False)

    def init_weights(self) -> None:
        """Initializes the first MLP as torch does, the second with truncated normal weights and zero biases; gain 1."""
        for module in (*self.mlp, *self.affinity_mlp):
            if hasattr(module, 'reset_parameters'):
                module.reset_parameters()
        for module in self.affinity_mlp:
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.kaiming_uniform_(self.last_layer.parametrizations.weight.original1, a=5**0.5)
        nn.init.ones_(self.last_layer.parametrizations.weight.original0)

    def bottleneck(self, positions: Tensor) -> Tensor:
        """Returns the L2-normalized bottleneck: (N, P, C) -> float32 (N, P, bottleneck_channels)."""
        features = self.affinity_mlp(positions.flatten(0, 1)).unflatten(0, positions.shape[:2])
        return F.normalize(features.float(), dim=2)

    def forward(self, positions: Tensor) -> Tensor:
        """Returns the projection for the contrast, not normalized: (N, P, C) -> float32 (N, P, out_channels)."""
        return self.mlp(positions).float()
