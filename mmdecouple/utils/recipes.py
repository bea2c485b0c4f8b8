"""Recipes of views as numbers, for windows that the loader draws and the device cuts out."""

from typing import Any, NamedTuple


class Recipe(NamedTuple):
    """How a view is made of an image, as whole numbers, or as tensors of whole numbers for a batch.

    Attributes:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        x: Left edge of the window, in pixels of the image.
        y: Upper edge of the window, in pixels of the image.
        w: Width of the window in pixels.
        h: Height of the window in pixels.
        mirrored: 1 if the view is mirrored left to right after it was cut out, otherwise 0.
        out_height: Height of the view in pixels.
        out_width: Width of the view in pixels.
        bicubic: 1 for the bicubic filter, 0 for the bilinear one.
    """

    height: Any
    width: Any
    x: Any
    y: Any
    w: Any
    h: Any
    mirrored: Any
    out_height: Any
    out_width: Any
    bicubic: Any
