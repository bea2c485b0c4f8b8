"""A border of register tokens around images: patches of zeros whose tokens take up spurious signals."""

import torch
import torch.nn.functional as F
from torch import Tensor


def with_border(images: Tensor, width: int, patch: int) -> Tensor:
    """Surrounds normalized images with `width` patches of zeros, the mean color: (N, 3, H, W) -> (N, 3, H', W').

    Source: `CongpeiQiu/UniRefiner method/registers.py`, with `register_fill='zero'`.
    """
    return F.pad(images, (width * patch,) * 4)


def split_border(tokens: Tensor, grid: tuple[int, int], width: int) -> tuple[Tensor, Tensor]:
    """Separates the patch tokens of images with a border.

    Args:
        tokens: Tokens in row-major order over the grid with its border, (N, (h + 2 width) * (w + 2 width), C).
        grid: Patches (h, w) of the images without the border.
        width: Patches of the border along each side, at least 1.

    Returns:
        The tokens of the image, (N, h * w, C), and the registers (N, R, C): top, bottom, left, right.
    """
    tokens = tokens.unflatten(1, [side + 2 * width for side in grid])
    rows = tokens[:, width:-width]
    border = (tokens[:, :width], tokens[:, -width:], rows[:, :, :width], rows[:, :, -width:])
    return rows[:, :, width:-width].flatten(1, 2), torch.cat([part.flatten(1, 2) for part in border], dim=1)
