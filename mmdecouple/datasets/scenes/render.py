"""Rendering of a layout: background texture, objects from back to front, illumination, noise."""

import colorsys
from typing import NamedTuple

import cv2
import numpy as np

from mmdecouple.datasets.scenes.classes import BACKGROUNDS, CLASSES
from mmdecouple.datasets.scenes.layout import Layout, Placement, draw_layout
from mmdecouple.datasets.scenes.spec import SceneSpec
from mmdecouple.datasets.scenes.textures import background, material

_HUE_SPREAD = 0.012  # standard deviation of the hue for color_tells=1, as a fraction of the circle
_BACKGROUND_HUE_SPREAD = 0.03
_BYTES_DEVIATION = np.sqrt((256**2 - 1) / 6)  # standard deviation of the sum of two random bytes
_FULL = np.float32(255)
_LEVELS = np.arange(256, dtype=np.float32)[:, None]
_LINE = np.arange(2048, dtype=np.float32)


class Scene(NamedTuple):
    """A rendered scene.

    Attributes:
        image: RGB pixels, uint8 `(H, W, 3)`.
        layout: Layout of the scene.
    """

    image: np.ndarray
    layout: Layout


def draw_scene(spec: SceneSpec, split: str, index: int) -> Scene:
    """Renders scene `index` of `split`.

    The pixels do not depend on the order of calls or on the process, for the same builds of numpy and OpenCV.
    """
    rng = spec.generator(split, index)
    layout = draw_layout(spec, rng)
    return Scene(paint(spec, layout, rng), layout)


def paint(spec: SceneSpec, layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """Renders a layout, uint8 RGB `(H, W, 3)`.

    Before illumination and noise, pixels outside of all objects show the background only: objects cast no shadow, and
    their anti-aliased edges lie inside their masks.
    """
    image = _paint_background(spec, layout.background, rng)
    for placement in layout.placements:
        _paint_object(spec, image, placement, rng)
    image = cv2.LUT(image, _light(spec, rng))
    return _add_noise(image, spec.noise, rng) if spec.noise > 0 else image


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, min(1.0, saturation), value), np.float32) * _FULL


def _paint_background(spec: SceneSpec, label: int, rng: np.random.Generator) -> np.ndarray:
    kind = BACKGROUNDS[label]
    hue = kind.hue + _BACKGROUND_HUE_SPREAD * rng.standard_normal()
    saturation = kind.saturation * rng.uniform(0.75, 1.2)
    bright = rng.uniform(0.65, 0.95)
    dark = bright * rng.uniform(0.45, 0.65)
    low, high = _rgb(hue, saturation * 1.25, dark), _rgb(hue, saturation, bright)
    pattern = background(kind.name, spec.size, rng)
    index = np.minimum(np.maximum(pattern * _FULL, 0), _FULL).astype(np.uint8)
    ramp = (low + (high - low) * _LEVELS / _FULL).astype(np.uint8)[None]
    return cv2.LUT(cv2.merge([index, index, index]), ramp)


def _paint_object(spec: SceneSpec, image: np.ndarray, placement: Placement, rng: np.random.Generator) -> None:
    kind = CLASSES[placement.label]
    draw = rng.random(8).tolist()
    window = (1 - spec.color_tells) * (draw[0] - 0.5)
    hue = kind.hue + window + _HUE_SPREAD * rng.standard_normal()
    saturation, value = 0.65 + 0.35 * draw[1], 0.7 + 0.3 * draw[2]
    first = _rgb(hue, saturation, value)
    if draw[3] < 0.5:
        second = _rgb(hue, saturation * (0.15 + 0.35 * draw[4]), 1.0)
    else:
        second = _rgb(hue, saturation * 1.1, value * (0.3 + 0.15 * draw[4]))

    mixing = material(kind.material, placement, (draw[5], draw[6]), rng.random())
    light = 2 * np.pi * draw[7]
    slope = 0.22 / placement.radius
    height, width = placement.coverage.shape
    across = (_LINE[:width] - placement.center[0]) * np.float32(slope * np.cos(light))
    down = (_LINE[:height] - placement.center[1]) * np.float32(slope * np.sin(light))
    surface = mixing[..., None] * (second - first)
    surface += first
    surface *= (across + np.float32(0.88) + down[:, None])[..., None]
    np.minimum(surface, _FULL, out=surface)

    # The coverage is 0 outside the mask; at the edge, the object is blended with the pixels behind it.
    behind = image[placement.window]
    surface -= behind
    surface *= (placement.coverage * (1 / _FULL))[..., None]
    surface += behind
    surface += np.float32(0.5)
    behind[...] = surface


def _add_noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Adds triangular noise, the sum of two random bytes, which is several times cheaper than normal noise."""
    first, second = np.frombuffer(rng.bytes(2 * image.size), np.uint8).reshape(2, *image.shape)
    grain = np.add(first, second, dtype=np.float32)
    grain -= _FULL
    grain *= _FULL * np.float32(deviation / _BYTES_DEVIATION)
    grain += image
    grain += np.float32(0.5)
    np.maximum(grain, 0, out=grain)
    return np.minimum(grain, _FULL, out=grain).astype(np.uint8)


def _light(spec: SceneSpec, rng: np.random.Generator) -> np.ndarray:
    draw = rng.random(6)
    gain = 2.0 ** (spec.illumination * (1.4 * draw[0] - 0.9))
    contrast = 1 - 0.5 * spec.illumination * draw[1]
    lift = spec.illumination * 50 * (draw[2] - 0.5)
    cast = 2.0 ** (spec.illumination * 0.8 * (draw[3:] - 0.5))
    table = ((_LEVELS - 110) * contrast + 110) * (gain * cast) + (lift + 0.5)
    return np.minimum(np.maximum(table, 0), 255).astype(np.uint8)[None]
