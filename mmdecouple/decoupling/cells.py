"""Between pixels of a view and cells of a mask or of a dense output."""

from collections.abc import Sequence

from torch import Tensor

from mmdecouple.utils.errors import UserError


def mask_grid(view: Sequence[int], stride: int, owner: str, key: str) -> tuple[int, int]:
    """Cells (h, w) of a mask over a view of (H, W) pixels; `owner` and `key` name the culprit in the error."""
    if view[0] % stride or view[1] % stride:
        raise UserError(
            f'{owner}: a mask cell of {stride} pixels does not divide a view of '
            f'{view[0]} x {view[1]} pixels (config key {key}).'
        )
    return view[0] // stride, view[1] // stride


def enlarge(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Repeat every cell of a mask (B, h, w) to pixels (B, 1, H, W); `size` = (H, W) must be a multiple of (h, w)."""
    (h, w), (height, width) = mask.shape[-2:], size
    return mask.repeat_interleave(height // h, 1).repeat_interleave(width // w, 2)[:, None]
