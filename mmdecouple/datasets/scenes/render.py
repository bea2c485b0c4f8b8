"""Painting a layout: texture, objects from back to front, light, noise."""
import colorsys
from typing import NamedTuple

import cv2
import numpy as np

from mmdecouple.datasets.scenes.classes import BACKGROUNDS, CLASSES
from mmdecouple.datasets.scenes.layout import Layout, Placement, draw_layout
from mmdecouple.datasets.scenes.spec import SceneSpec
from mmdecouple.datasets.scenes.textures import background, material

_HUE_SPREAD = 0.012  # what remains of the hue's variation when color tells the class, in turns
_BACKGROUND_HUE_SPREAD = 0.03


class Scene(NamedTuple):
    """A painted scene: `image` uint8 RGB (H, W, 3) and the layout it shows."""

    image: np.ndarray
    layout: Layout


def draw_scene(spec: SceneSpec, split: str, index: int) -> Scene:
    """Return scene `index` of `split`.

    The same bytes in any order and process, as long as the numpy and OpenCV builds are the same.
    """
    rng = spec.generator(split, index)
    layout = draw_layout(spec, rng)
    return Scene(paint(spec, layout, rng), layout)


def paint(spec: SceneSpec, layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """Return the picture of a layout, uint8 RGB (H, W, 3).

    Before light and noise, a pixel that no object owns is the background's own: objects cast no
    shadow and their smoothed edges lie inside their masks.
    """
    image = _paint_background(spec, layout.background, rng)
    for placement in layout.placements:
        _paint_object(spec, image, placement, rng)
    table = _light(spec, rng)
    image = cv2.LUT(image, table)
    if spec.noise > 0:
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        grain *= np.float32(255 * spec.noise)
        grain += image
        np.clip(np.rint(grain, out=grain), 0, 255, out=grain)
        image = grain.astype(np.uint8)
    return image


def class_hue(spec: SceneSpec, label: int, rng: np.random.Generator) -> float:
    """Draw an object's hue in turns, from a window of width ``1 - color_tells``."""
    window = (1 - spec.color_tells) * rng.uniform(-0.5, 0.5)
    return (CLASSES[label].hue + window + _HUE_SPREAD * rng.standard_normal()) % 1.0


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32) * np.float32(255)


def _paint_background(spec: SceneSpec, label: int, rng: np.random.Generator) -> np.ndarray:
    kind = BACKGROUNDS[label]
    hue = kind.hue + _BACKGROUND_HUE_SPREAD * rng.standard_normal()
    saturation = kind.saturation * rng.uniform(0.75, 1.2)
    bright = rng.uniform(0.65, 0.95)
    dark = bright * rng.uniform(0.45, 0.65)
    ends = _rgb(hue, min(1.0, saturation * 1.25), dark), _rgb(hue, saturation, bright)
    pattern = background(kind.name, spec.size, rng)
    index = np.clip(pattern * np.float32(255), 0, 255).astype(np.uint8)
    ramp = np.linspace(*ends, 256).round().astype(np.uint8)[None]
    return cv2.LUT(cv2.merge([index, index, index]), ramp)


def _paint_object(spec: SceneSpec, image: np.ndarray, placement: Placement,
                  rng: np.random.Generator) -> None:
    hue, saturation, value = class_hue(spec, placement.label,
                                       rng), rng.uniform(0.65, 1.0), rng.uniform(0.7, 1.0)
    first = _rgb(hue, saturation, value)
    second = _rgb(hue + rng.uniform(-0.03, 0.03), saturation * rng.uniform(0.15, 0.5), 1.0)
    if rng.random() < 0.5:
        second = _rgb(hue, min(1.0, saturation * 1.1), value * rng.uniform(0.3, 0.45))
    height, width = placement.coverage.shape
    share = material(CLASSES[placement.label].material, (height, width), placement.center,
                     placement.radius, placement.angle, rng)
    light = rng.uniform(0, 2 * np.pi)
    slope = np.float32(0.22 / placement.radius)
    across = (np.arange(width, dtype=np.float32) - placement.center[0]) * slope * np.float32(
        np.cos(light))
    down = (np.arange(height, dtype=np.float32) - placement.center[1]) * slope * np.float32(
        np.sin(light))
    shade = np.float32(0.88) + across[None] + down[:, None]
    paint_ = first + (second - first) * share[..., None]
    paint_ *= shade[..., None]

    window = image[placement.window]
    inside = placement.coverage >= 128
    # Only pixels of the mask are touched; on its rim they blend with what lies behind.
    alpha = np.where(inside, placement.coverage, 0).astype(np.float32)[..., None] / np.float32(255)
    paint_ -= window
    paint_ *= alpha
    paint_ += window
    window[...] = np.clip(paint_ + np.float32(0.5), 0, 255).astype(np.uint8)


def _light(spec: SceneSpec, rng: np.random.Generator) -> np.ndarray:
    gain = 2.0**(spec.illumination * rng.uniform(-0.9, 0.5))
    contrast = 1 - spec.illumination * rng.uniform(0, 0.5)
    lift = spec.illumination * rng.uniform(-25, 25)
    cast = 2.0**(spec.illumination * rng.uniform(-0.4, 0.4, 3))
    levels = np.arange(256)[:, None]
    table = ((levels - 110) * contrast + 110) * gain * cast + lift
    return np.clip(np.rint(table), 0, 255).astype(np.uint8)[None]
