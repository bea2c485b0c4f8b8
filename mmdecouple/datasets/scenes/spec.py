"""Parameters of the built-in scenes."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError

SPLITS = ('train', 'val')
MAX_OBJECTS = 8
MIN_SIDE = 8  # pixels; smaller shapes cannot be distinguished


def split_code(split: str) -> int:
    """Returns the number of a split for seeding, so that no scene belongs to two splits.

    Raises:
        UserError: The split is unknown.
    """
    if not isinstance(split, str) or split not in SPLITS:
        raise UserError(f'Scenes: split must be one of {", ".join(SPLITS)}, got {split!r} (config key split).')
    return SPLITS.index(split)


@dataclass(frozen=True)
class SceneSpec:
    """Parameters of the scenes, which together with a split and an index determine every pixel.

    Args:
        seed: Seed of the content of the scenes, at least 0. It is independent of the seed of the run, so that all runs
            have the same scenes.
        size: Height and width in pixels, each in [32, 2048]; an int for a square.
        objects: Smallest and largest number of objects in a scene, in [1, 8].
        object_side: Smallest and largest diameter of the circumscribed circle of an object as a fraction of the shorter
            image side, at most 0.9. If the drawn number of objects does not fit, all objects of the scene are reduced.
        max_overlap: Largest fraction of the area of an object that objects in front may hide, in [0, 0.8].
        color_tells: Degree to which color alone determines the class, in [0, 1]. The hue of an object is uniform in a
            window of width `1 - color_tells` (full circle = 1) around the hue of its class; at 0, only shape and
            material determine the class.
        cooccurrence: kappa, the probability that the class of an object, and likewise the background, is drawn from the
            context group of the scene instead of from all, in [0, 1]. Over all scenes, classes and backgrounds are
            uniform.
        illumination: Strength of a random brightness, contrast and color cast per scene, in [0, 1].
        rotation: Largest rotation of an object in either direction, in degrees, in [0, 180].
        noise: Standard deviation of the pixel noise as a fraction of the gray range, in [0, 0.3].

    Raises:
        UserError: A value is out of range; the message names its config key.
    """

    seed: int = 0
    size: int | tuple[int, int] = 96
    objects: tuple[int, int] = (2, 5)
    object_side: tuple[float, float] = (0.28, 0.5)
    max_overlap: float = 0.3
    color_tells: float = 0.7
    cooccurrence: float = 0.8
    illumination: float = 0.5
    rotation: float = 25.0
    noise: float = 0.02

    def __post_init__(self) -> None:
        _whole('seed', self.seed, 0, 2**32 - 1)
        self._normalize('seed', int(self.seed))
        square = isinstance(self.size, (int, np.integer))
        size = (self.size, self.size) if square else self.size
        self._normalize('size', _pair('size', size, 32, 2048, whole=True))
        self._normalize('objects', _ordered('objects', self.objects, 1, MAX_OBJECTS, whole=True))
        self._normalize('object_side', _ordered('object_side', self.object_side, 0, 0.9))
        if self.object_side[0] * min(self.size) < MIN_SIDE:
            what = (
                f'must make objects of at least {MIN_SIDE} pixels, but '
                f'{self.object_side[0]} of {min(self.size)} pixels is less'
            )
            raise UserError(_line('object_side', what))
        room = self.size[0] * self.size[1] // (4 * MIN_SIDE**2)
        if self.objects[1] > room:
            what = f'must not exceed {room} in an image of {self.size[0]} x {self.size[1]} pixels, got {self.objects}'
            raise UserError(_line('objects', what))
        for key, high in (
            ('max_overlap', 0.8),
            ('color_tells', 1),
            ('cooccurrence', 1),
            ('illumination', 1),
            ('rotation', 180),
            ('noise', 0.3),
        ):
            _number(key, getattr(self, key), 0, high)
            self._normalize(key, float(getattr(self, key)))

    @classmethod
    def build(cls, parameters: dict | None) -> 'SceneSpec':
        """Builds the spec from the `scenes` dict of a config; None for the defaults.

        Raises:
            UserError: A parameter is unknown or out of range.
        """
        known = [field.name for field in fields(cls)]
        for key in parameters or {}:
            if key not in known:
                raise UserError(_line(key, f'is unknown; the parameters are {", ".join(known)}'))
        return cls(**(parameters or {}))

    @property
    def digest(self) -> str:
        """Eight hex digits of a digest of all parameters."""
        return digest_of(asdict(self))[:8]

    def generator(self, split: str, index: int) -> np.random.Generator:
        """Returns the generator of scene `index` of `split`, which is its only source of randomness."""
        sequence = np.random.SeedSequence([self.seed, split_code(split), index])
        return np.random.Generator(np.random.PCG64(sequence))

    def _normalize(self, key: str, value: Any) -> None:
        object.__setattr__(self, key, value)  # the dataclass is frozen


def _line(key: str, what: str) -> str:
    return f'SceneSpec: {key} {what} (config key scenes.{key}).'


def _number(key: str, value: Any, low: float, high: float) -> None:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise UserError(_line(key, f'must lie in [{low}, {high}], got {value!r}'))


def _whole(key: str, value: Any, low: int, high: int) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not low <= value <= high:
        raise UserError(_line(key, f'must be a whole number in [{low}, {high}], got {value!r}'))


def _pair(key: str, value: Any, low: float, high: float, whole: bool = False) -> tuple:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise UserError(_line(key, f'must be two numbers, got {value!r}'))
    for number in value:
        (_whole if whole else _number)(key, number, low, high)
    return tuple(int(number) if whole else float(number) for number in value)


def _ordered(key: str, value: Any, low: float, high: float, whole: bool = False) -> tuple:
    pair = _pair(key, value, low, high, whole)
    if pair[0] > pair[1]:
        raise UserError(_line(key, f'must be (low, high) with low <= high, got {value!r}'))
    return pair
