"""Outlines and rasters of the six object shapes."""

import math

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_FINE = 4  # subpixels per pixel along each axis


def _polygon(angles: np.ndarray, radii: np.ndarray | float = 1.0) -> np.ndarray:
    turns = 2 * np.pi * angles
    return np.stack([np.sin(turns), -np.cos(turns)], axis=1) * np.broadcast_to(radii, angles.shape)[:, None]


def _disc(radius: float) -> np.ndarray:
    return _polygon(np.arange(48) / 48, radius)


def _cross(half_width: float) -> np.ndarray:
    reach = np.sqrt(1 - half_width**2)
    arm = np.array([(-half_width, -reach), (half_width, -reach), (half_width, -half_width)])
    quarter = np.array([(0, 1), (-1, 0)])  # rotation by 90 degrees for row vectors
    return np.concatenate([arm @ np.linalg.matrix_power(quarter, turn) for turn in range(4)])


# Contours in the unit circle, y down; a second contour is a hole.
OUTLINES: dict[str, list[np.ndarray]] = {
    'disc': [_disc(1.0)],
    'square': [_polygon((np.arange(4) + 0.5) / 4)],
    'triangle': [_polygon(np.arange(3) / 3)],
    'star': [_polygon(np.arange(10) / 10, np.where(np.arange(10) % 2, 0.45, 1.0))],
    'ring': [_disc(1.0), _disc(0.5)],
    'cross': [_cross(0.36)],
}


def rasterize(
    shape: str, radius: float, aspect: float, angle: float, shift: tuple[float, float]
) -> tuple[np.ndarray, tuple[float, float]]:
    """Returns the anti-aliased raster of a shape in its smallest patch.

    Args:
        shape: A key of `OUTLINES`.
        radius: Radius of the circumscribed circle in pixels.
        aspect: Height over width, above 0; the shorter of the two is reduced.
        angle: Clockwise rotation in radians.
        shift: Sub-pixel shift (x, y), in [0, 1).

    Returns:
        The coverage, uint8 `(h, w)`: 255 inside, at least 128 for pixels that are mostly covered, 0 for all others; and
        the center (x, y) of the circle in pixels of the patch.
    """
    reach = int(np.ceil(radius)) + 2
    side = 2 * reach + 2
    center = reach + shift[0], reach + shift[1]
    wide, high = radius * min(1, 1 / aspect), radius * min(1, aspect)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([(wide * cos, wide * sin), (-high * sin, high * cos)])
    # In OpenCV, integer coordinates are the centers of (sub)pixels, so that the corner is at -0.5.
    contours = [
        (((outline @ turn + center + 0.5) * _FINE - 0.5) * 2**_SHIFT + 0.5).astype(np.int32)
        for outline in OUTLINES[shape]
    ]
    canvas = np.zeros((side * _FINE, side * _FINE), np.uint8)
    cv2.fillPoly(canvas, contours, 255, shift=_SHIFT)
    canvas = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
    canvas = cv2.threshold(canvas, 127, 255, cv2.THRESH_TOZERO)[1]
    x, y, width, height = cv2.boundingRect(canvas)
    return canvas[y : y + height, x : x + width], (center[0] - x, center[1] - y)
