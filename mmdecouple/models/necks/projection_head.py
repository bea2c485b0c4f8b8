"""Projection of tokens onto the unit sphere."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings


@MODELS.register_module()
class ProjectionHead(BaseModule):
    """MLP of three layers with GELU, followed by L2 normalization.

    Args:
        in_channels: Width C of the tokens.
        hidden_channels: Width of the MLP.
        out_channels: Width of the embedding.

    Raises:
        SettingError: A value is out of range.

    Source: `MkuuWaUjinga/leopart src/vit.py` and `vpariza/NeCo src/models/vit.py` (`projection_head`).
    """

    def __init__(self, in_channels: int, hidden_channels: int = 2048, out_channels: int = 256) -> None:
        super().__init__()
        check = Settings(self, 'model.neck')
        for key, value in (
            ('in_channels', in_channels),
            ('hidden_channels', hidden_channels),
            ('out_channels', out_channels),
        ):
            check.number(key, value, 1, whole=True)
        self.out_channels = out_channels
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, out_channels),
        )

    def init_weights(self) -> None:
        """Initializes truncated normal weights and zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the L2-normalized embedding: (..., C) -> float32 (..., out_channels)."""
        return F.normalize(self.mlp(tokens).float(), dim=-1)
