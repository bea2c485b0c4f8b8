"""Leopart's projection head with prototypes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .projection_head import ProjectionHead


@MODELS.register_module()
class PrototypeHead(ProjectionHead):
    """A `ProjectionHead`, followed by the cosine to unit prototypes.

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
        super().__init__(in_channels, hidden_channels, out_channels)
        Settings(self, 'model.neck').number('prototypes', prototypes, 2, whole=True)
        self.prototypes = nn.Linear(out_channels, prototypes, bias=False)

    def init_weights(self) -> None:
        """Initializes truncated normal weights, zero biases and prototypes of unit length."""
        super().init_weights()
        self.normalize_prototypes()

    @torch.no_grad()
    def normalize_prototypes(self) -> None:
        """Normalizes every prototype to unit length."""
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))

    def embed(self, tokens: Tensor) -> Tensor:
        """Returns the L2-normalized embedding: (..., C) -> float32 (..., out_channels)."""
        return super().forward(tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the scores of the prototypes: (..., C) -> float32 (..., K)."""
        return self.prototypes(self.embed(tokens)).float()
