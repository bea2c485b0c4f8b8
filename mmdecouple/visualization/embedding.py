"""Figures as data URIs for pages, each in a version for light and one for dark screens."""

import base64
import io

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

# Lightness (CIE L*) of the dark version of white and of black.
_GROUND, _INK = 11.0, 94.0
_QUALITY = 75


def dark_color(color: str) -> str:
    """Returns a color of light pages with its lightness inverted, as `#rrggbb`; the hue is kept."""
    rgb = np.round(255 * np.array(to_rgb(color))).astype(np.uint8)
    return to_hex(_inverted(rgb[None])[0] / 255)


def embedded(figure: Figure, png: bytes) -> tuple[str, str]:
    """Returns data URIs of a figure for light and for dark screens.

    In the dark version, lightness is inverted except in pictures and color bars. Charts stay PNG files with a palette;
    figures with pictures are compressed as WebP.

    Args:
        figure: The figure, after it was drawn.
        png: Content of its PNG file, see `save_png`.
    """
    image = Image.open(io.BytesIO(png))
    if image.mode == 'P':
        dark = image.copy()
        dark.putpalette(_inverted(np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3)).tobytes())
        content = io.BytesIO()
        dark.save(content, 'PNG', optimize=True)
        return _uri(png, 'png'), _uri(content.getvalue(), 'png')
    pixels = np.asarray(image.convert('RGB'))
    inverted = _inverted(pixels.reshape(-1, 3)).reshape(pixels.shape)
    for axes in filter(_is_picture, figure.axes):
        rows, columns = _place(axes, figure, pixels.shape[:2])
        inverted[rows, columns] = pixels[rows, columns]
    return _webp(pixels), _webp(inverted)


def _inverted(colors: np.ndarray) -> np.ndarray:
    """Returns colors uint8 `(N, 3)` with inverted lightness, in CIE Lab."""
    lab = cv2.cvtColor(colors[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab[..., 0] = _INK + (_GROUND - _INK) * lab[..., 0] / 100
    return np.round(255 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1))[0].astype(np.uint8)


def _is_picture(axes: Axes) -> bool:
    return bool(axes.images) or axes.get_label() == '<colorbar>'


def _place(axes: Axes, figure: Figure, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Returns the rows and columns of axes in the pixels of their figure."""
    scale, box = shape[1] / figure.bbox.width, axes.get_window_extent()
    left, right, bottom, top = (round(scale * edge) for edge in (box.x0, box.x1, box.y0, box.y1))
    return slice(shape[0] - top, shape[0] - bottom), slice(left, right)


def _webp(pixels: np.ndarray) -> str:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, 'WEBP', quality=_QUALITY, method=6)
    return _uri(content.getvalue(), 'webp')


def _uri(content: bytes, kind: str) -> str:
    return f'data:image/{kind};base64,{base64.b64encode(content).decode("ascii")}'
