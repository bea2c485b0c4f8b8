"""Plain vision transformer as backbone of a detector or a segmentor, which returns maps of selected blocks."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from mmdecouple.models import DenseViT
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError

_TAP_NORMS = ('none', 'shared')


@MODELS.register_module()
class PlainViT(DenseViT):
    """Returns maps of the patch tokens after selected blocks, all with the stride of the patch.

    Attention is global in every block. Position embeddings are resized (bicubic) from the grid of the checkpoint to
    `img_size`, rounded up to whole patches, when weights are loaded, and from it to each batch. iBOT's code resizes to
    the batch with a scale factor that is increased by 0.1, which shifts the samples by up to a tenth of a token. An
    image that does not divide into patches is padded with zeros on the right and at the bottom.

    Args:
        out_indices: Ascending indices of the returned blocks, from 0.
        tap_norm: `none` for the plain outputs of the blocks (iBOT on COCO); `shared` for the final norm of pre-training
            on each output (iBOT on ADE20K).
        frozen: Whether the backbone is in evaluation mode without gradients, for linear heads on its features.
        **kwargs: Arguments of `DenseViT`: `arch`, `img_size` (height, width), `patch_size`, `drop_path_rate`,
            `with_cp`, ...

    Raises:
        UserError: `tap_norm` is unknown, or `out_indices` are not ascending indices of the blocks.

    Source: `mmcv_custom/register_backbone.py` in `bytedance/ibot` `evaluation/object_detection` and
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
        super().__init__(final_norm=tap_norm == 'shared', **_whole_patches(kwargs))
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
        """Sets the mode; a frozen backbone remains in evaluation mode."""
        super().train(mode and not self.frozen)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Returns one map `(B, C, ceil(H / patch), ceil(W / patch))` per selected block of images `(B, 3, H, W)`."""
        height, width = images.shape[-2:]
        tokens, grid = self.tokens(F.pad(images, (0, -width % self.stride, 0, -height % self.stride)))
        outputs = self.blocks(tokens, self.out_indices[-1] + 1, self.rotation(grid))
        taps = [outputs[index] for index in self.out_indices]
        if self.tap_norm == 'shared':
            taps = [self.ln1(tap) for tap in taps]
        return tuple(self.patch_map(tap, grid).contiguous() for tap in taps)

    def dense_map(self, images: Tensor) -> Tensor:
        """Returns the map of the last selected block, `(B, C, h, w)`."""
        return self(images)[-1]


def _whole_patches(settings: dict) -> dict:
    """Returns settings of `DenseViT` whose `img_size` is rounded up to whole patches, unless they are no numbers."""
    patch, size = settings.get('patch_size', 16), settings.get('img_size', 224)
    sides = size if isinstance(size, (list, tuple)) else (size,)
    if any(type(number) is not int or number < 1 for number in (patch, *sides)):
        return settings
    whole = [side + -side % patch for side in sides]
    return {**settings, 'img_size': tuple(whole) if len(whole) > 1 else whole[0]}
