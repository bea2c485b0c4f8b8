"""Layout of the objects in a scene, drawn without rendering, so that boxes and labels are cheap."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mmdecouple.datasets.scenes.classes import (
    BACKGROUNDS,
    BACKGROUNDS_PER_GROUP,
    CLASSES,
    CLASSES_PER_GROUP,
    NUM_GROUPS,
)
from mmdecouple.datasets.scenes.shapes import rasterize
from mmdecouple.datasets.scenes.spec import MIN_SIDE, SceneSpec

_TRIES = 12  # candidate positions of one object
_SHRINK = 0.9  # applied to all objects of a scene if one cannot be placed
_ASPECT = 1.2  # height over width is drawn from [1 / 1.2, 1.2]


class Placement(NamedTuple):
    """One placed object.

    Attributes:
        label: Index into `CLASSES`.
        x: Left edge of its patch in the image, in pixels.
        y: Upper edge of its patch in the image, in pixels.
        coverage: Raster of the object in the patch, including hidden pixels, uint8 `(h, w)`: 0 outside, 128 to 255
            inside.
        center: Center x, y in the patch, in pixels.
        radius: Radius of the circumscribed circle in pixels.
        angle: Rotation in radians.
    """

    label: int
    x: int
    y: int
    coverage: np.ndarray
    center: tuple[float, float]
    radius: float
    angle: float

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the patch in the image."""
        height, width = self.coverage.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


class Layout(NamedTuple):
    """A scene before rendering, with its objects from back to front.

    Attributes:
        group: Context group, in [0, 4).
        background: Index into `BACKGROUNDS`.
        placements: The N objects; later ones are in front.
        owner: Index of the object that is visible at each pixel, -1 for the background, int8 `(H, W)`.
        boxes: x1, y1, x2, y2 of the visible pixels, with exclusive right and bottom edges, float32 `(N, 4)`.
        areas: Number of visible pixels, float32 `(N,)`.
    """

    group: int
    background: int
    placements: tuple[Placement, ...]
    owner: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Index of each object into `CLASSES`, int64 `(N,)`."""
        return np.array([placement.label for placement in self.placements], np.int64)

    @property
    def masks(self) -> np.ndarray:
        """Visible pixels of each object, bool `(N, H, W)`; the masks are disjoint and not empty."""
        return self.owner == np.arange(len(self.placements), dtype=np.int8)[:, None, None]


def draw_context(spec: SceneSpec, rng: np.random.Generator) -> tuple[int, int]:
    """Draws the context group and the background of a scene, with the first draws of its generator."""
    group = int(rng.integers(NUM_GROUPS))
    return group, int(_member(spec, rng, group, 1, len(BACKGROUNDS), BACKGROUNDS_PER_GROUP)[0])


def draw_layout(spec: SceneSpec, rng: np.random.Generator) -> Layout:
    """Draws classes, sizes and positions of the objects.

    At least `1 - max_overlap` of the area of every object is visible, and the scene has exactly the drawn number of
    objects: if an object cannot be placed, all objects are placed again with sizes reduced by a tenth, down to 8
    pixels.
    """
    group, background = draw_context(spec, rng)
    count = int(rng.integers(spec.objects[0], spec.objects[1], endpoint=True))
    labels = _member(spec, rng, group, count, len(CLASSES), CLASSES_PER_GROUP)
    sides = rng.uniform(*spec.object_side, count) * min(spec.size)
    while True:
        placed = _place(spec, rng, labels, sides)
        if placed is not None:
            break
        sides = np.maximum(sides * _SHRINK, MIN_SIDE)
    placements, owner = placed
    found = [_box(owner, k, placement) for k, placement in enumerate(placements)]
    return Layout(
        group,
        background,
        tuple(placements),
        owner,
        np.array([box for box, _ in found], np.float32),
        np.array([area for _, area in found], np.float32),
    )


@lru_cache(maxsize=16384)
def scene_info(spec: SceneSpec, split: str, index: int) -> Layout:
    """Returns the layout of a scene without rasters, that is, with empty `owner` and `coverage`.

    The latest 16384 layouts are cached, about 2 kB each.
    """
    layout = draw_layout(spec, spec.generator(split, index))
    bare = tuple(placement._replace(coverage=np.empty((0, 0), np.uint8)) for placement in layout.placements)
    return layout._replace(placements=bare, owner=np.empty((0, 0), np.int8))


def _member(
    spec: SceneSpec, rng: np.random.Generator, group: int, count: int, total: int, per_group: int
) -> np.ndarray:
    anywhere = rng.integers(total, size=count)
    inside = group * per_group + rng.integers(per_group, size=count)
    return np.where(rng.random(count) < spec.cooccurrence, inside, anywhere)


def _place(spec: SceneSpec, rng: np.random.Generator, labels: np.ndarray, sides: np.ndarray):
    height, width = spec.size
    owner = np.full((height, width), -1, np.int8)
    visible, floor = np.zeros(len(labels), int), np.zeros(len(labels))
    placements = []
    for k, (label, side) in enumerate(zip(labels.tolist(), sides)):
        aspect = _ASPECT ** rng.uniform(-1, 1)
        angle = np.deg2rad(spec.rotation) * rng.uniform(-1, 1)
        coverage, center = rasterize(CLASSES[label].shape, side / 2, aspect, angle, tuple(rng.random(2)))
        solid = coverage > 0
        rows, columns = solid.shape
        corners = (rng.random((_TRIES, 2)) * (width - columns + 1, height - rows + 1)).astype(int)
        for x, y in corners.tolist():
            window = owner[y : y + rows, x : x + columns]
            hidden = np.bincount(window[solid] + 1, minlength=k + 1)[1:]
            if (visible[:k] - hidden >= floor[:k]).all():
                break
        else:
            return None
        window[solid] = k
        area = int(np.count_nonzero(solid))
        visible[:k] -= hidden
        visible[k], floor[k] = area, (1 - spec.max_overlap) * area
        placements.append(Placement(label, x, y, coverage, center, side / 2, angle))
    return placements, owner


def _box(owner: np.ndarray, k: int, placement: Placement) -> tuple[tuple[int, int, int, int], int]:
    seen = owner[placement.window] == k
    columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    box = (placement.x + columns[0], placement.y + rows[0], placement.x + columns[-1] + 1, placement.y + rows[-1] + 1)
    return box, int(np.count_nonzero(seen))
