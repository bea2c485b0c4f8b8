"""Resizing of images, for views, measures and figures."""

import numpy as np
import torch
import torch.nn.functional as F

INTERPOLATIONS = ('bilinear', 'bicubic')


def resize(image: np.ndarray, size: tuple[int, int], interpolation: str = 'bilinear') -> np.ndarray:
    """Resizes with the anti-aliasing filters of Pillow, up to rounding.

    Columns are resized first, as in Pillow before version 13. Pillow 13 resizes the rows of tall images first, so that
    results differ where the bicubic filter overshoots white or black.

    Args:
        image: Image, uint8 `(H, W, 3)`, with any strides.
        size: Height and width of the result in pixels.
        interpolation: One of `INTERPOLATIONS`.

    Returns:
        Contiguous image, uint8 `(height, width, 3)`, which never shares memory with `image`.
    """
    # torch's vectorized uint8 kernel requires a batch in channels-last order with the corresponding strides.
    batch = torch.from_numpy(image.copy())[None].permute(0, 3, 1, 2)
    return F.interpolate(batch, size, mode=interpolation, antialias=True)[0].permute(1, 2, 0).numpy()
