"""Textures of object materials and backgrounds, as scalar patterns in [0, 1], float32."""

import cv2
import numpy as np

from mmdecouple.datasets.scenes.layout import Placement


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]


def material(name: str, placement: Placement, phase: tuple[float, float], scale: float) -> np.ndarray:
    """Returns the fraction of the second color at each pixel of the patch of an object.

    Args:
        name: `plain`, `striped`, `checkered` or `dotted`.
        placement: The object; the pattern is rotated with it.
        phase: Shift of the pattern in periods, in [0, 1).
        scale: Scale in [0, 1], which corresponds to a period of 0.5 to 0.7 of the radius, but at least 4 pixels.

    Returns:
        Fractions in [0, 1], float32 `(h, w)`.
    """
    shape = placement.coverage.shape
    if name == 'plain':
        return np.zeros(shape, np.float32)
    period = max(4.0, placement.radius * (0.5 + 0.2 * scale))
    cos, sin = np.float32(np.array([np.cos(placement.angle), np.sin(placement.angle)]) / period)
    x, y = _grid(*shape)
    x, y = x - np.float32(placement.center[0]), y - np.float32(placement.center[1])
    u = (x * cos + np.float32(phase[0])) + y * sin
    v = (y * cos + np.float32(phase[1])) - x * sin
    sharpness = np.float32(period)  # edges one pixel wide
    if name == 'striped':
        return _edge(_to_line(v) - np.float32(0.25), sharpness)
    if name == 'checkered':
        u, v = (_to_line(w * np.float32(0.75)) - np.float32(0.25) for w in (u, v))
        return _edge(np.minimum(np.abs(u), np.abs(v)) * np.sign(u * v), sharpness)
    u, v = u - np.floor(u) - np.float32(0.5), v - np.floor(v) - np.float32(0.5)
    return _edge(np.float32(0.33) - np.sqrt(u * u + v * v), sharpness)


def background(name: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draws the pattern of a background in `BACKGROUNDS`, float32 `(H, W)`, in [0, 1]."""
    unit = min(shape) * rng.uniform(0.85, 1.2)
    x, y = _grid(*shape)
    ox, oy = rng.uniform(0, 100, 2).astype(np.float32)
    if name == 'grass':
        blades = _noise(rng, shape, (unit / 12, unit / 60))
        return _stretch(blades + 0.6 * _noise(rng, shape, (unit / 3, unit / 3)))
    if name == 'clouds':
        return _stretch(_noise(rng, shape, (unit / 2, unit / 1.5)) + 0.45 * _noise(rng, shape, (unit / 6, unit / 5)))
    if name == 'bricks':
        row = (y + oy) / np.float32(unit / 9)
        course = np.floor(row)
        column = (x + ox) / np.float32(unit / 4.5) + 0.5 * (course % 2)
        gap = np.minimum(_to_line(row) * np.float32(unit / 9), _to_line(column) * np.float32(unit / 4.5))
        tone = np.sin(course * 12.9898 + np.floor(column) * 78.233) * 0.5 + 0.5  # one tone per brick
        return np.clip(gap - 0.4, 0, 1) * (0.45 + 0.4 * tone) + 0.1 * _stretch(_noise(rng, shape, (2, 2)))
    if name == 'water':
        bend = _noise(rng, shape, (unit / 4, unit / 3)) * np.float32(1.5)
        return (
            0.5
            + 0.3 * np.sin((y + oy) / np.float32(unit / 45) + bend)
            + 0.2 * np.sin((y * 0.8 + x * 0.6) / np.float32(unit / 28) + 2 * bend)
        )
    if name == 'sand':
        bend = _noise(rng, shape, (unit / 3, unit / 3)) * np.float32(2.5)
        slope = rng.uniform(0.4, 0.9)
        return (
            0.5
            + 0.35 * np.sin((x + ox + y * np.float32(slope)) / np.float32(unit / 25) + bend)
            + 0.15 * _noise(rng, shape, (1, 1)) / 3
        )
    if name == 'tiles':
        u, v = (x + ox) / np.float32(unit / 5), (y + oy) / np.float32(unit / 5)
        gap = np.minimum(_to_line(u), _to_line(v)) * np.float32(unit / 5)
        checker = (np.floor(u) + np.floor(v)) % 2
        return np.clip(gap - 0.4, 0, 1) * (0.5 + 0.35 * checker)
    if name == 'leaves':
        field = _noise(rng, shape, (unit / 11, unit / 11))
        return np.clip(0.5 + 1.2 * np.abs(field) - 0.6, 0, 1) * 0.8 + 0.2 * _stretch(field)
    if name == 'coral':
        return _edge(_noise(rng, shape, (unit / 8, unit / 8)) * np.float32(0.6), np.float32(2.5))
    raise KeyError(name)


def _edge(distance: np.ndarray, sharpness: np.float32) -> np.ndarray:
    return np.minimum(np.maximum(distance * sharpness + np.float32(0.5), 0), 1)


def _to_line(t: np.ndarray) -> np.ndarray:
    return np.float32(0.5) - np.abs(t - np.floor(t) - np.float32(0.5))


def _stretch(field: np.ndarray) -> np.ndarray:
    return np.clip(field * np.float32(0.22) + np.float32(0.5), 0, 1)


def _noise(rng: np.random.Generator, shape: tuple[int, int], grain: tuple[float, float]) -> np.ndarray:
    """Returns smooth noise of about unit standard deviation, with a grain of (height, width) pixels."""
    rows, columns = (max(2, int(np.ceil(side / max(1.0, lump))) + 1) for side, lump in zip(shape, grain))
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    if (rows, columns) == tuple(shape):
        return coarse
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
