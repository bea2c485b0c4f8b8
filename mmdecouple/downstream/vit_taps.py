"""The plain vision transformer as backbone of a detector or a segmentor: feature maps of some of its blocks."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from mmdecouple.models import DenseViT
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError

_TAP_NORMS = ('none', 'shared')


@MODELS.register_module()
class PlainViT(DenseViT):
    """Maps of the patch tokens after some blocks, all of the stride of the patch; the class token is left out.

    Attention is global in every block. Positions are resized (bicubic) from those of the checkpoint to `img_size` when
    weights are loaded, and from `img_size` to each batch; iBOT's code does the latter by a scale factor with 0.1 added,
    which samples up to a tenth of a token elsewhere. An image that the patch does not divide is padded with zeros, to
    the right and below.

    Args:
        out_indices: Blocks to give, from 0, ascending.
        tap_norm: `none`: blocks as they are (iBOT on COCO); `shared`: the final norm of pre-training on each of them
            (iBOT on ADE20K).
        frozen: Whether it stays as it is: in evaluation mode and without gradients, for linear heads on its features.
        **kwargs: As for `DenseViT`: `arch`, `img_size` (height, width), `patch_size`, `drop_path_rate`, `with_cp`, ...

    Raises:
        ValueError: For an unknown `tap_norm`, or blocks that are not ascending indices of the ViT's blocks.

    Source: `mmcv_custom/register_backbone.py` in `bytedance/ibot evaluation/object_detection` and
        `evaluation/semantic_segmentation`.
    """

    def __init__(
        self, *, out_indices: Sequence[int] = (3, 5, 7, 11), tap_norm: str = 'none', frozen: bool = False, **kwargs
    ) -> None:
        if tap_norm not in _TAP_NORMS:
            raise UserError(
                f'PlainViT: tap_norm must be one of {", ".join(_TAP_NORMS)}, got {tap_norm!r} '
                '(config key model.backbone.tap_norm).'
            )
        super().__init__(final_norm=tap_norm == 'shared', **kwargs)
        taps, count = list(out_indices), len(self.layers)
        if not taps or taps != sorted(set(taps)) or not 0 <= taps[0] <= taps[-1] < count:
            raise UserError(
                f'PlainViT: out_indices must be ascending indices of {count} blocks, got {taps} '
                '(config key model.backbone.out_indices).'
            )
        self.out_indices = taps
        self.tap_norm = tap_norm
        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)

    def train(self, mode: bool = True) -> 'PlainViT':
        """Sets the mode; a frozen backbone stays in evaluation mode."""
        super().train(mode and not self.frozen)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Normalized images (B, 3, H, W) -> one map (B, C, ceil(H / patch), ceil(W / patch)) for each tapped block."""
        height, width = images.shape[-2:]
        tokens, grid = self.tokens(F.pad(images, (0, -width % self.stride, 0, -height % self.stride)))
        outputs = self.blocks(tokens, self.out_indices[-1] + 1)
        taps = [outputs[index] for index in self.out_indices]
        if self.tap_norm == 'shared':
            taps = [self.ln1(tap) for tap in taps]
        return tuple(tap[:, 1:].transpose(1, 2).unflatten(2, grid).contiguous() for tap in taps)

    def dense_map(self, images: Tensor) -> Tensor:
        """The map of the last tapped block, (B, C, h, w)."""
        return self(images)[-1]
