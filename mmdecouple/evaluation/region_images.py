"""Random regions of images without annotations, for measures that need no classes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from mmdecouple.datasets.objects import ObjectImage
from mmdecouple.datasets.reading import UnreadableImage
from mmdecouple.registry import DATASETS
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.progress import shown_progress
from mmdecouple.utils.settings import Settings

# Scale of COCO's objects, the square root of the share of the image: median, and the deciles 0.024 and 0.472 as a
# standard deviation of the logarithm (Singh and Davis, 2018, section 1).
_MEDIAN_SCALE, _SCALE_DEVIATION = 0.106, 1.16
# Width over height, both as shares of the image: 80 % of COCO's boxes lie in 0.26 to 1.7, and of these regions in 0.31
# to 1.6.
_ASPECT = 0.25, 2.0
_REGIONS = 7  # COCO has 7.7 objects per image (Lin et al., 2014)
_SMALLEST_SIDE = 32  # pixels
_READERS, _BATCH = 4, 64


@DATASETS.register_module()
class RegionImages:
    """Images without annotations, each with seven random boxes; implements `ObjectDataset`.

    Boxes have the sizes of COCO's objects: their scale, the square root of the share of the image, is log-normal with
    median 0.106 and deciles 0.024 and 0.472; width over height, both as shares of the image, is log-uniform on [0.25,
    2]; sides are at most those of the image, and the position is uniform. The boxes of an image depend on the seed and
    on its position in the list.

    All images that are used are read once at construction. Those that cannot be read, or have a side of less than 32
    pixels, are left out and reported in `notes`.

    Args:
        images: Config or instance of a data set of image files, such as `ImageDataset` or `ShardedImages`.
        limit: Maximum number of images, drawn at random, at least 2.
        seed: Seed of the draws, non-negative.
        name: Beginning of the name in manifests and reports, which continues with a digest of all boxes.

    Attributes:
        kind: `regions`; measures of objects refuse this data set.

    Raises:
        MissingFile: The images do not exist.
        UserError: Fewer than two images can be used, or a setting is out of range.

    Source: Singh and Davis, An Analysis of Scale Invariance in Object Detection, CVPR 2018; Lin et al., Microsoft COCO,
        ECCV 2014.
    """

    kind = 'regions'
    classes = ('region',)
    background_labels = None

    def __init__(self, images: Any, limit: int = 1000, seed: int = 0, name: str = 'images') -> None:
        check = Settings(self)
        check.number('limit', limit, 2, whole=True)
        check.number('seed', seed, 0, whole=True)
        check.text('name', name)
        try:
            self.images = DATASETS.build({**images, 'pipeline': []}) if isinstance(images, dict) else images
        except MissingFile as error:
            raise MissingFile(f'RegionImages: {str(error).rstrip(".")}; name other images (--data).') from error
        found, bad = _readable(self.images, limit, seed)
        if len(found) < 2:
            reason = f'; the first of the others: {bad[0]}' if bad else ''
            raise UserError(
                f'RegionImages: {len(found)} of {len(self.images)} images of {name} can be measured, but at least two '
                f'are required, as surroundings are swapped between images{reason}. Name more images (--data).'
            )
        self._places = sorted(found)
        self._sizes = [found[place] for place in self._places]
        self._boxes = [
            random_regions(size, np.random.default_rng([seed, place])) for place, size in zip(self._places, self._sizes)
        ]
        drawn = [self._places, [boxes.tolist() for boxes in self._boxes]]
        self.name = self.origin = f'{name}-regions-{digest_of([self.images.paths.digest, *drawn])[:8]}'
        self.notes = _notes(name, len(self), len(self.images), bad)

    def __len__(self) -> int:
        return len(self._places)

    def info(self, index: int) -> dict[str, Any]:
        """See `ObjectDataset.info`."""
        (height, width), boxes, place = self._sizes[index], self._boxes[index], self._places[index]
        return dict(
            image_id=place,
            height=height,
            width=width,
            boxes=boxes.copy(),
            labels=np.zeros(len(boxes), np.int64),
            ids=place * _REGIONS + 1 + np.arange(len(boxes), dtype=np.int64),
            iscrowd=np.zeros(len(boxes), bool),
            areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        )

    def files(self, index: int) -> list[str]:
        """See `ObjectDataset`."""
        path = self.images.path(self._places[index])
        return [] if path is None else [path]

    def objects(self, index: int) -> ObjectImage:
        """See `ObjectDataset.objects`."""
        info, place = self.info(index), self._places[index]
        size = info['height'], info['width']
        problem = ''
        try:
            image = self.images.read(place)['img']
            problem = '' if image.shape[:2] == size else 'its size has changed'
        except UnreadableImage as error:
            problem = str(error)
        if problem:
            raise UserError(
                f'RegionImages: {shown(self.images.path(place), 160)} was readable at the start, but not any more '
                f'({problem}); leave the images unchanged during a measurement.'
            )
        masks = np.zeros((len(info['boxes']), *size), bool)
        for mask, (x1, y1, x2, y2) in zip(masks, np.rint(info['boxes']).astype(int)):
            mask[y1:y2, x1:x2] = True
        return ObjectImage(image, info['boxes'], info['labels'], masks, info['ids'], info['image_id'])


def random_regions(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Returns seven random boxes x1, y1, x2, y2 in pixels, float32 `(7, 4)`, by the rule of `RegionImages`.

    Args:
        size: Height and width of the image in pixels.
        rng: Generator of the draws.
    """
    scale = _MEDIAN_SCALE * np.exp(_SCALE_DEVIATION * rng.standard_normal(_REGIONS))
    stretch = np.exp(rng.uniform(*np.log(_ASPECT), _REGIONS) / 2)
    sides = np.minimum(np.stack([scale * stretch, scale / stretch], axis=1), 1)
    start = rng.uniform(0, 1 - sides)
    return (np.concatenate([start, start + sides], axis=1) * [*size[::-1], *size[::-1]]).astype(np.float32)


def _readable(images: Any, limit: int, seed: int) -> tuple[dict[int, tuple[int, int]], list[str]]:
    """Reads images in random order until `limit` of them can be used.

    Returns:
        Position -> height and width of every image that can be used, and one line for each other image.
    """
    found: dict[int, tuple[int, int]] = {}
    bad: list[str] = []
    order = np.random.default_rng([seed, len(images)]).permutation(len(images)).tolist()
    asked, pending = min(limit, len(images)), iter(order)

    def read(place: int) -> tuple[int, tuple[int, int] | str]:
        try:
            height, width = images.read(place)['img'].shape[:2]
        except UnreadableImage as error:
            return place, str(error)
        return place, (height, width)

    with ThreadPoolExecutor(_READERS) as readers, shown_progress('reading images', after=2) as show:
        while len(found) < asked and (batch := list(islice(pending, min(asked - len(found), _BATCH)))):
            for place, size in readers.map(read, batch):
                if isinstance(size, str):
                    bad.append(f'{shown(images.path(place), 160)} cannot be read ({size})')
                elif min(size) < _SMALLEST_SIDE:
                    pixels = f'{size[1]} x {size[0]} pixels'
                    bad.append(f'{shown(images.path(place), 160)} has {pixels}, a side below {_SMALLEST_SIDE}')
                else:
                    found[place] = size
                show(len(found) + len(bad), asked + len(bad))
    return found, bad


def _notes(name: str, used: int, count: int, bad: Sequence[str]) -> tuple[str, ...]:
    notes = [
        f'{name}: {used} of {count} images without annotations; regions are {_REGIONS} random boxes per image with the '
        "sizes of COCO's objects, so their numbers are not comparable with those of annotated objects."
    ]
    if bad:
        notes.append(f'{name}: {len(bad)} images are left out, the first: {bad[0]}.')
    return tuple(notes)
