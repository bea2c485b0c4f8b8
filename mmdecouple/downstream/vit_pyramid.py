"""Feature pyramid from four maps of one stride, for a plain vision transformer."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError

_PATCHES = (8, 14, 16)


@MODELS.register_module()
class ViTPyramid(BaseModule):
    """Converts four maps with the stride of the patch to strides 4, 8, 16 and 32, or 3.5, 7, 14 and 28 for patch 14.

    For a patch of 14 or 16 pixels, the levels are deconv - norm - GELU - deconv, deconv, identity and max-pooling by 2;
    for a patch of 8 pixels, they are deconv, identity and max-pooling by 2 and by 4. Each deconvolution is 2 x 2 with
    stride 2. It is the neck in mmseg, and part of the neck `[ViTPyramid, FPN]` in mmdet.

    Args:
        in_channels: Channels C of each map, before and after.
        patch_size: Patch of the backbone in pixels, 8, 14 or 16.
        norm_cfg: Config of the norm between the two deconvolutions; None for synchronized batch norm.
        init_cfg: Weight initialization of mmengine; None for that of torch, as in iBOT.

    Raises:
        UserError: `patch_size` is another number.

    Source: `fpn1` to `fpn4` of the backbones in `bytedance/ibot` `evaluation/`; mmseg's `Feature2Pyramid` has the
        operations of patch 16.
    """

    def __init__(
        self,
        in_channels: int,
        patch_size: int = 16,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if patch_size not in _PATCHES:
            raise UserError(
                f'ViTPyramid: patch_size must be one of {", ".join(map(str, _PATCHES))}, got '
                f'{patch_size!r}; no other patch gives strides of about 4 to 32 (config key model.neck.patch_size).'
            )
        self.patch_size = patch_size
        self.strides = (3.5, 7, 14, 28) if patch_size == 14 else (4, 8, 16, 32)

        def enlarge() -> nn.Module:
            return nn.ConvTranspose2d(in_channels, in_channels, 2, stride=2)

        if patch_size == 8:
            self.levels = nn.ModuleList([enlarge(), nn.Identity(), nn.MaxPool2d(2), nn.MaxPool2d(4)])
            return
        norm = build_norm_layer(norm_cfg or dict(type='SyncBN'), in_channels)[1]
        self.levels = nn.ModuleList(
            [nn.Sequential(enlarge(), norm, nn.GELU(), enlarge()), enlarge(), nn.Identity(), nn.MaxPool2d(2)]
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Converts the maps.

        Args:
            maps: Four maps `(B, C, h, w)` with the stride of the patch.

        Returns:
            Four maps with strides 4, 8, 16 and 32.

        Raises:
            UserError: The number of maps is not four.
        """
        if len(maps) != len(self.levels):
            raise UserError(
                f'ViTPyramid: expected four maps, got {len(maps)}; name four blocks in the config key '
                'model.backbone.out_indices.'
            )
        return tuple(level(x) for level, x in zip(self.levels, maps))
