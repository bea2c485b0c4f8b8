"""Four maps of one stride made a pyramid, for a plain vision transformer."""
from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError


@MODELS.register_module()
class ViTPyramid(BaseModule):
    """Maps of stride s -> strides s / 4, s / 2, s and 2 s: 4, 8, 16 and 32 for a patch of 16 pixels.

    The levels are deconv - norm - GELU - deconv, deconv, identity and max-pooling; each deconvolution is 2 x 2 with
    stride 2. mmseg takes it as its neck; mmdet takes `[ViTPyramid, FPN]`.

    Args:
        in_channels: Channels C of each of the four maps; they stay as many.
        norm_cfg: Norm between the two deconvolutions.
        init_cfg: mmengine's weight initialization; None keeps torch's, as iBOT does.

    Source: `fpn1` to `fpn4` of the backbones in `bytedance/ibot evaluation/`; mmseg's `Feature2Pyramid` has the same
        operations.
    """

    def __init__(self, in_channels: int, norm_cfg: dict | None = None,
                 init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)

        def enlarge() -> nn.Module:
            return nn.ConvTranspose2d(in_channels, in_channels, 2, stride=2)

        norm = build_norm_layer(norm_cfg or dict(type='SyncBN'), in_channels)[1]
        self.levels = nn.ModuleList([
            nn.Sequential(enlarge(), norm, nn.GELU(), enlarge()),
            enlarge(),
            nn.Identity(),
            nn.MaxPool2d(2)])

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Four maps (B, C, h, w) -> (B, C, 4h, 4w), (B, C, 2h, 2w), (B, C, h, w), (B, C, h // 2, w // 2).

        Raises:
            ValueError: If there are not four maps.
        """
        if len(maps) != len(self.levels):
            raise UserError(f'ViTPyramid: needs four maps, got {len(maps)}; name four blocks in the config key '
                            'model.backbone.out_indices.')
        return tuple(level(x) for level, x in zip(self.levels, maps))
