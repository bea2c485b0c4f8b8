"""Outlines of the six object shapes and their exact rasters."""
import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates


def _polygon(angles: np.ndarray, radii: np.ndarray | float = 1.0) -> np.ndarray:
    turns = 2 * np.pi * angles
    return np.stack([np.sin(turns), -np.cos(turns)], axis=1) * np.broadcast_to(
        radii, angles.shape)[:, None]


def _disc(radius: float) -> np.ndarray:
    return _polygon(np.arange(48) / 48, radius)


def _cross(half_width: float) -> np.ndarray:
    reach = np.sqrt(1 - half_width**2)
    arm = np.array([(-half_width, -reach), (half_width, -reach), (half_width, -half_width)])
    quarter = np.array([(0, 1), (-1, 0)])  # a turn by 90 degrees for row vectors
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


def rasterize(shape: str, radius: float, aspect: float, angle: float,
              shift: tuple[float, float]) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the anti-aliased raster of a shape in the smallest patch that holds it.

    Args:
        shape: A key of OUTLINES.
        radius: Radius of the circumscribed circle in pixels.
        aspect: Height over width, in (0, inf); the longer of the two is not stretched.
        angle: Clockwise turn in radians.
        shift: Sub-pixel shift (x, y) in [0, 1).

    Returns:
        Coverage uint8 ``(h, w)``, 255 inside; a pixel belongs to the object from 128 on, and every
        side of the patch holds such a pixel. The circle's center (x, y) in pixels of the patch.
    """
    reach = int(np.ceil(radius)) + 2
    stretch = np.array([min(1, 1 / aspect), min(1, aspect)])
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    center = reach + np.array(shift)
    contours = [
        np.round((((outline * stretch) @ turn) * radius + center) * 2**_SHIFT).astype(np.int32)
        for outline in OUTLINES[shape]
    ]
    canvas = np.zeros((2 * reach + 2, 2 * reach + 2), np.uint8)
    cv2.fillPoly(canvas, contours, 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    x, y, width, height = cv2.boundingRect(cv2.threshold(canvas, 127, 255, cv2.THRESH_BINARY)[1])
    return canvas[y:y + height, x:x + width], (float(center[0] - x), float(center[1] - y))
