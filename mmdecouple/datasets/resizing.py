"""The one resize of images, for views and for whatever a measure or a figure shows to a network."""

import numpy as np
import torch
import torch.nn.functional as F

INTERPOLATIONS = ('bilinear', 'bicubic')


def resize(image: np.ndarray, size: tuple[int, int], interpolation: str = 'bilinear') -> np.ndarray:
    """Resizes with Pillow's filters, which average all the pixels that a shrunken one covers, up to rounding.

    Like Pillow before 13, columns first: a tall image that Pillow 13 shrinks rows first differs from it where the
    bicubic filter overshoots white or black.

    Args:
        image: (H, W, 3) uint8, of any strides.
        size: Height and width of the result.
        interpolation: One of `INTERPOLATIONS`.

    Returns:
        (height, width, 3) uint8, contiguous; never a view of `image`.
    """
    # Only a batch in channels-last order, with the strides of one, reaches torch's vectorized uint8 kernel.
    batch = torch.from_numpy(image.copy())[None].permute(0, 3, 1, 2)
    return F.interpolate(batch, size, mode=interpolation, antialias=True)[0].permute(1, 2, 0).numpy()
