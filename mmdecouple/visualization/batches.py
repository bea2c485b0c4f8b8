"""Figures of decoupled batches: key views, cut masks, background views and decoupled views."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .style import CUT_COLOR, bare, figure_style, new_figure


def to_uint8(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Undoes the normalization of a batch.

    Args:
        images: Normalized RGB images `(B, 3, H, W)`.
        mean: Means of the three channels, in [0, 255].
        std: Standard deviations of the three channels, in the same unit.

    Returns:
        uint8 RGB `(B, H, W, 3)`.
    """
    images = images.detach().float().cpu()
    mean, std = (torch.as_tensor(item, dtype=torch.float32).reshape(1, 3, 1, 1) for item in (mean, std))
    pixels = (images * std + mean).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).numpy()


def tint_cut(images: np.ndarray, cut_masks: np.ndarray, strength: float = 0.72) -> np.ndarray:
    """Colors the cut part of views.

    Args:
        images: uint8 RGB `(B, H, W, 3)`.
        cut_masks: Bool `(B, h, w)`, True for cut cells; enlarged to `(H, W)` by the nearest cell.
        strength: Share of the tint, in [0, 1].

    Returns:
        uint8 `(B, H, W, 3)`, equal to `images` on the foreground.
    """
    height, width = images.shape[1:3]
    rows = np.arange(height) * cut_masks.shape[1] // height
    columns = np.arange(width) * cut_masks.shape[2] // width
    cut = np.asarray(cut_masks, bool)[:, rows][:, :, columns, None]
    tint = np.array([int(CUT_COLOR[index : index + 2], 16) for index in (1, 3, 5)], np.float32)
    tinted = (1 - strength) * images.astype(np.float32) + strength * tint
    return np.where(cut, tinted.round().astype(np.uint8), images)


def decoupled_batch_figure(
    key_views: np.ndarray, cut_masks: np.ndarray, backgrounds: np.ndarray, decoupled: np.ndarray, limit: int = 6
) -> Figure:
    """Draws four rows: key views, their cut masks, background views and decoupled views.

    Args:
        key_views: Key views of the teacher, uint8 RGB `(B, H, W, 3)`.
        cut_masks: Bool `(B, h, w)`, True for cut cells.
        backgrounds: Background views X^B, uint8 RGB `(B, H, W, 3)`.
        decoupled: Decoupled views X^D = X (1 - M) + X^B M, uint8 RGB `(B, H, W, 3)`.
        limit: Maximum number of samples.

    Returns:
        Figure with one column per sample.
    """
    count = min(limit, len(key_views))
    shares = np.asarray(cut_masks, np.float64).reshape(len(cut_masks), -1).mean(1)
    rows = {
        'key view $X$\n(teacher)': key_views,
        'cut mask $M$\n(colored = cut)': tint_cut(key_views, cut_masks),
        'background\nview $X^B$': backgrounds,
        'decoupled\nview $X^D$ (student)': decoupled,
    }
    with figure_style():
        figure = new_figure(1.5 * count + 1.5, 6.3)
        grid = figure.subplots(len(rows), count, squeeze=False)
        for line, (title, images) in zip(grid, rows.items()):
            for axes, image in zip(line, images):
                bare(axes).imshow(image)
            line[0].set_ylabel(title, rotation=0, ha='right', va='center')
        for axes, share in zip(grid[1], shares):
            axes.set_xlabel(f'{100 * share:.0f} % cut', fontsize=7.5)
    return figure
