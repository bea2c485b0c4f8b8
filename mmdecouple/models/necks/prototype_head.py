"""Leopart's projection head with prototypes."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings


@MODELS.register_module()
class PrototypeHead(BaseModule):
    """MLP of three layers, L2 normalization, cosine to unit prototypes.

    Args:
        in_channels: Width C of the tokens.
        prototypes: Number of prototypes K, at least 2, as a softmax over one prototype is constant.
        hidden_channels: Width of the MLP.
        out_channels: Width of the embedding.

    Raises:
        SettingError: A value is out of range.

    Source: `MkuuWaUjinga/leopart src/vit.py` (`projection_head`, `prototypes`).
    """

    def __init__(
        self, in_channels: int, prototypes: int = 300, hidden_channels: int = 2048, out_channels: int = 256
    ) -> None:
        super().__init__()
        check = Settings(self, 'model.neck')
        for key, value, minimum in (
            ('in_channels', in_channels, 1),
            ('prototypes', prototypes, 2),
            ('hidden_channels', hidden_channels, 1),
            ('out_channels', out_channels, 1),
        ):
            check.number(key, value, minimum, whole=True)
        self.out_channels = out_channels
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, out_channels),
        )
        self.prototypes = nn.Linear(out_channels, prototypes, bias=False)

    def init_weights(self) -> None:
        """Initializes truncated normal weights, zero biases and prototypes of unit length."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.normalize_prototypes()

    @torch.no_grad()
    def normalize_prototypes(self) -> None:
        """Normalizes every prototype to unit length."""
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))

    def embed(self, tokens: Tensor) -> Tensor:
        """Returns the L2-normalized embedding: (..., C) -> float32 (..., out_channels)."""
        return F.normalize(self.mlp(tokens).float(), dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the scores of the prototypes: (..., C) -> float32 (..., K)."""
        return self.prototypes(self.embed(tokens)).float()
