"""Projection head of DINO and iBOT."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from mmdecouple.models.layers import EpochDependent
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings


@MODELS.register_module()
class DINOHead(EpochDependent, BaseModule):
    """MLP of three layers, L2 normalization, weight-normalized linear layer: tokens -> prototype logits.

    Class and patch tokens share one head. Logits are linear in the normalized bottleneck, so that the mean logits of
    many tokens are the last layer's output for the mean bottleneck.

    Args:
        in_channels: Width C of the tokens.
        out_channels: Number of prototypes K, at least 2, as a softmax over one prototype is constant.
        hidden_channels: Width of the MLP.
        bottleneck_channels: Width before the last layer.
        norm_last_layer: Whether the gain of the last layer is fixed to 1 instead of being trained.
        freeze_last_layer: Number of first epochs in which the last layer is not updated.

    Raises:
        SettingError: A value is out of range.

    Source: `facebookresearch/dino vision_transformer.py` (DINOHead); `bytedance/ibot models/head.py` (shared head).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 8192,
        hidden_channels: int = 2048,
        bottleneck_channels: int = 256,
        norm_last_layer: bool = False,
        freeze_last_layer: int = 1,
    ) -> None:
        super().__init__()
        check = Settings(self, 'model.neck')
        for key, value, minimum in (
            ('in_channels', in_channels, 1),
            ('out_channels', out_channels, 2),
            ('hidden_channels', hidden_channels, 1),
            ('bottleneck_channels', bottleneck_channels, 1),
        ):
            check.number(key, value, minimum, whole=True)
        check.flag('norm_last_layer', norm_last_layer)
        check.number('freeze_last_layer', freeze_last_layer, 0, whole=True)
        self.out_channels = out_channels
        self.freeze_last_layer = freeze_last_layer
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, bottleneck_channels),
        )
        # The older `nn.utils.weight_norm` does not support the deep copy that creates the teacher.
        self.last_layer = weight_norm(nn.Linear(bottleneck_channels, out_channels, bias=False))
        self.last_layer.parametrizations.weight.original0.requires_grad_(not norm_last_layer)

    def init_weights(self) -> None:
        """Initializes the MLP with truncated normal weights and zero biases, and the gain of the last layer with 1."""
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.kaiming_uniform_(self.last_layer.parametrizations.weight.original1, a=5**0.5)
        nn.init.ones_(self.last_layer.parametrizations.weight.original0)

    def begins(self) -> dict[str, int]:
        """See `EpochDependent`: the training of the last layer."""
        return {'model.neck.freeze_last_layer': self.freeze_last_layer}

    def frozen(self, epoch: int) -> list[nn.Parameter]:
        """Returns the parameters of the last layer in the first epochs (`cancel_gradients_last_layer` of DINO)."""
        return [p for p in self.last_layer.parameters() if p.requires_grad and epoch < self.freeze_last_layer]

    def bottleneck(self, tokens: Tensor) -> Tensor:
        """Returns the L2-normalized input of the last layer: (..., C) -> float32 (..., bottleneck_channels)."""
        return F.normalize(self.mlp(tokens).float(), dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the logits: (..., C) -> (..., K)."""
        return self.last_layer(self.bottleneck(tokens))
