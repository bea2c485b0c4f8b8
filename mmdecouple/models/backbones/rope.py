"""Rotary position embedding of a plain ViT over the two axes of its patch grid, as in DINOv3."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.utils.settings import Settings


class Rotation(NamedTuple):
    """Rotation of queries and keys by the position of their token.

    Attributes:
        cos: Cosines, float32 (T, D) or (N, 1, T, D) for N images with different tokens; D channels of a head.
        sin: Sines of the same shape.
    """

    cos: Tensor
    sin: Tensor

    def at(self, tokens: Tensor) -> 'Rotation':
        """Returns the rotation of some tokens of each image.

        Args:
            tokens: Indices of tokens, (N, S).
        """
        return Rotation(self.cos[tokens][:, None], self.sin[tokens][:, None])

    def apply(self, heads: Tensor) -> Tensor:
        """Rotates queries or keys (N, heads, T, D) in float32, and returns them in their own type."""
        first, second = heads.float().chunk(2, dim=-1)
        turned = torch.cat([-second, first], dim=-1)
        return (heads * self.cos + turned * self.sin).to(heads.dtype)


class AxialRope(nn.Module):
    """Rotary position embedding: half of the channels of a head rotate with the row, half with the column.

    The center of a patch has coordinates (y, x) in [-1, 1], normalized by height and width separately. With
    periods p_k = base^(4 k / D), k = 0, ..., D / 4 - 1, channel k and channel k + D / 2 of a head rotate by the angle
    2 pi y / p_k; channels D / 4 + k and 3 D / 4 + k by 2 pi x / p_k. Class and register tokens do not rotate.

    In training, one transform of all coordinates is drawn for each pass with gradients; a teacher's pass without
    gradients has none. The order is shift, jitter, rescale.

    Args:
        head_channels: Channels D of a head, a multiple of 4.
        base: Base of the periods, above 0.
        shift: Largest shift s; a shift is drawn from [-s, s] for each axis. None for none.
        jitter: Largest factor j, at least 1; a factor is drawn log-uniformly from [1 / j, j] for each axis.
        rescale: Largest factor r, at least 1; one factor for both axes is drawn log-uniformly from [1 / r, r]. DINOv3
            has 2.

    Raises:
        SettingError: A value is out of range.

    Source: arXiv 2508.10104, section 3.2; `transformers modeling_dinov3_vit.py`.
    """

    def __init__(
        self,
        head_channels: int,
        base: float = 100.0,
        shift: float | None = None,
        jitter: float | None = None,
        rescale: float | None = None,
    ) -> None:
        check = Settings(self, 'model.backbone.rope')
        check.number('base', base, above=0)
        check.number('shift', shift, 0, optional=True)
        check.number('jitter', jitter, 1, optional=True)
        check.number('rescale', rescale, 1, optional=True)
        super().__init__()
        if head_channels % 4:
            check.refuse('head_channels', f'must be a multiple of 4, got {head_channels}; change the number of heads')
        self.base = base
        self.shift, self.jitter, self.rescale = shift, jitter, rescale
        # Part of checkpoints, as DINOv3's are rounded to bfloat16, and to mark a network with rotary positions.
        self.register_buffer('periods', torch.empty(head_channels // 4))
        self.reset_periods()
        self._register_load_state_dict_pre_hook(self._keep_own)

    def reset_periods(self) -> None:
        """Sets the periods of `base`."""
        count = len(self.periods)
        self.periods.copy_(self.base ** (torch.arange(count, dtype=torch.float32) / count))

    def forward(self, grid: tuple[int, int], extra: int) -> Rotation:
        """Returns the rotation of the tokens of a grid of patches.

        Args:
            grid: Height and width of the grid.
            extra: Number of tokens before the patches, which do not rotate.
        """
        device = self.periods.device
        axes = [2 * (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side - 1 for side in grid]
        places = torch.stack(torch.meshgrid(*axes, indexing='ij'), dim=2).flatten(0, 1)
        if self.training and torch.is_grad_enabled():
            places = self._augmented(places)
        angles = 2 * math.pi * places[:, :, None] / self.periods.float()
        angles = F.pad(angles.flatten(1).tile(1, 2), (0, 0, extra, 0))
        return Rotation(angles.cos(), angles.sin())

    def _augmented(self, places: Tensor) -> Tensor:
        if self.shift is not None:
            places = places + torch.empty_like(places[:1]).uniform_(-self.shift, self.shift)
        for limit, axes in ((self.jitter, 2), (self.rescale, 1)):
            if limit is not None:
                factor = torch.empty_like(places[:1, :axes]).uniform_(-math.log(limit), math.log(limit))
                places = places * factor.exp()
        return places

    def _keep_own(self, state: dict[str, Tensor], prefix: str, *_) -> None:
        # Files of timm and transformers have no periods.
        state.setdefault(f'{prefix}periods', self.periods)
