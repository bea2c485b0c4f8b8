"""Conversion between the pixels of a view and the cells of a mask."""

from collections.abc import Sequence

from torch import Tensor

from mmdecouple.utils.errors import UserError


def mask_grid(view: Sequence[int], stride: int, owner: str, key: str) -> tuple[int, int]:
    """Returns the size of a mask in cells.

    Args:
        view: Size (H, W) of the view in pixels.
        stride: Side of a cell in pixels.
        owner: Class that needs the mask, for the error message.
        key: Config key of the stride, for the error message.

    Returns:
        Size (h, w) in cells.

    Raises:
        UserError: The stride does not divide the view.
    """
    if view[0] % stride or view[1] % stride:
        raise UserError(
            f'{owner}: a mask cell of {stride} pixels does not divide a view of '
            f'{view[0]} x {view[1]} pixels (config key {key}).'
        )
    return view[0] // stride, view[1] // stride


def enlarge(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Repeats every cell of a mask (B, h, w) to pixels (B, 1, H, W); `size` = (H, W) must be a multiple of (h, w)."""
    (h, w), (height, width) = mask.shape[-2:], size
    return mask.repeat_interleave(height // h, 1).repeat_interleave(width // w, 2)[:, None]
