"""Resizing of learned position embeddings between patch grids."""

import torch
import torch.nn.functional as F
from torch import Tensor


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
