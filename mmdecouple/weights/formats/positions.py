"""Resizing of learned position embeddings between patch grids."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.utils.errors import UserError


def resize_positions(
    positions: Tensor, source: tuple[int, int], grid: tuple[int, int], mode: str = 'bicubic', antialias: bool = False
) -> Tensor:
    """Returns position embeddings resized from one patch grid to another.

    Args:
        positions: Embeddings of the class token and of the patches in row-major order, (1, 1 + P, C).
        source: Height and width of their grid.
        grid: Height and width of the new grid.
        mode: Mode of `torch.nn.functional.interpolate`.
        antialias: Whether to filter while the grid shrinks; also the weights of an enlargement differ (bicubic with
            a = -0.5 instead of -0.75).
    """
    if tuple(source) == tuple(grid):
        return positions
    patches = positions[:, 1:].transpose(1, 2).unflatten(2, source)
    # Bicubic interpolation requires float32.
    patches = F.interpolate(patches.float(), size=grid, mode=mode, align_corners=False, antialias=antialias)
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2).to(positions.dtype)], dim=1)


def square_side(positions: Tensor) -> int:
    """Returns the side of the square grid of position embeddings (1, 1 + P, C).

    Raises:
        UserError: The grid is not square.
    """
    patches = positions.shape[1] - 1
    side = math.isqrt(max(patches, 0))
    if side**2 != patches:
        raise UserError(
            f'DenseViT: the positions of the weights are of {patches} patches, which form no square; it cannot be '
            'resized to another grid (config key model.backbone.img_size).'
        )
    return side
