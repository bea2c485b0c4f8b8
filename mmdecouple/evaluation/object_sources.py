"""Annotated images by image id, resized to the square resolution of the probes."""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from mmdecouple.datasets.objects import ObjectImage
from mmdecouple.datasets.resizing import resize


class ObjectDataset(Protocol):
    """Interface of annotated images. `background_labels` `(N,)`, `notes`, `kind` and `files` are optional.

    `files(index)` returns the paths of the files that an image and its objects are read from, by which a change of them
    is noticed.

    Attributes:
        name: Name of the data in reports and manifests.
        origin: Identifier that is equal for two data sets with the same images.
        classes: Names of the classes.
        kind: What the boxes are, `objects` (the default) or `regions`; measures draw one of them.
    """

    name: str
    origin: str
    classes: Sequence[str]

    def __len__(self) -> int:
        """Number of images."""

    def info(self, index: int) -> dict:
        """Returns size, boxes, labels and ids of an image without decoding it."""

    def objects(self, index: int) -> ObjectImage:
        """Returns the image with its objects and their masks."""


class Bounded(OrderedDict):
    """Dict that evicts the least recently used entries beyond `limit`.

    Args:
        limit: Maximum number of entries; values below 1 count as 1.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = max(limit, 1)

    def remember(self, key: Any, make: Callable[[], Any]) -> Any:
        """Returns the value of `key`, which `make` computes on a miss."""
        if key not in self:
            value = make()
            while len(self) >= self.limit:
                self.popitem(last=False)
            self[key] = value
        self.move_to_end(key)
        return self[key]

    def __reduce__(self) -> tuple:
        return Bounded, (self.limit,)


class ObjectSource:
    """One object data set, resized to `size` x `size` pixels, with a bounded cache of decoded images.

    Args:
        dataset: Object data set.
        size: Side of the resized images in pixels.
        cache: Maximum number of decoded images in memory, at least 1.

    Attributes:
        images: All image ids, in the order of the data set.
        kind: See `ObjectDataset`.
    """

    def __init__(self, dataset: ObjectDataset, size: int, cache: int = 32) -> None:
        self.dataset = dataset
        self.name, self.origin = dataset.name, dataset.origin
        self.kind: str = getattr(dataset, 'kind', 'objects')
        self.size = size
        self._infos, self._decoded = Bounded(4096), Bounded(cache)
        self._index: dict[int, int] = {}
        for index in range(len(dataset)):
            info = _without_crowds(dataset.info(index))
            self._index[int(info['image_id'])] = index
            self._infos.remember(int(info['image_id']), lambda info=info: info)
        self.images = list(self._index)

    def __contains__(self, image: int) -> bool:
        return image in self._index

    def info(self, image: int) -> dict:
        """Returns size, boxes, labels and ids of an image, without crowds and without decoding pixels."""
        return self._infos.remember(image, lambda: _without_crowds(self.dataset.info(self._index[image])))

    def boxes(self, image: int) -> np.ndarray:
        """Returns boxes float32 `(N, 4)` in pixels of the resized image, in the order of `ids`."""
        info = self.info(image)
        scale = self.size / np.array([info['width'], info['height']] * 2, dtype=np.float32)
        return (np.asarray(info['boxes'], dtype=np.float32).reshape(-1, 4) * scale).astype(np.float32)

    def chosen(self, image: int, objects: list[int]) -> np.ndarray:
        """Returns boxes `(len(objects), 4)` of the objects with the given ids, in their order."""
        position = {int(key): i for i, key in enumerate(self.info(image)['ids'])}
        return self.boxes(image)[[position[key] for key in objects]]

    def file_facts(self, image: int) -> list[tuple[int, int]]:
        """Returns size and time of change of the files of an image and its objects; empty if there are none."""
        find = getattr(self.dataset, 'files', None)
        paths = () if find is None else find(self._index[image])
        every = [os.stat(path) for path in paths if os.path.isfile(path)]
        return [(facts.st_size, facts.st_mtime_ns) for facts in every]

    def background(self, image: int) -> int | None:
        """Returns the class of the image's background; None if the data set has no such labels."""
        labels = getattr(self.dataset, 'background_labels', None)
        return None if labels is None else int(labels[self._index[image]])

    def pixels(self, image: int) -> np.ndarray:
        """Returns the resized image, uint8 RGB `(size, size, 3)`, see `resize`; a cached array, not to be modified."""
        return self._load(image)[0]

    def mask(self, image: int, obj: int) -> np.ndarray:
        """Returns bool `(size, size)`: pixels of which at least half belongs to the object or region."""
        if self.kind == 'regions':
            x1, y1, x2, y2 = np.rint(self.chosen(image, [obj])[0]).astype(int)
            mask = np.zeros((self.size, self.size), bool)
            mask[y1:y2, x1:x2] = True
            return mask
        return self._load(image)[1][obj]

    def decode(self, image: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Reads an image anew and returns it, see `pixels`, with the mask of each object, see `mask`."""
        item = self.dataset.objects(self._index[image])
        side = (self.size, self.size)
        pixels = resize(item.image, side)
        if self.kind == 'regions':
            return pixels, {}  # resizing the masks of large photographs takes three times as long as reading them
        masks = {
            int(key): cv2.resize(mask.astype(np.float32), side, interpolation=cv2.INTER_AREA) >= 0.5
            for key, mask in zip(item.ids, item.masks)
        }
        return pixels, masks

    def _load(self, image: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        return self._decoded.remember(image, lambda: self.decode(image))


def _without_crowds(info: dict) -> dict:
    keep = ~np.asarray(info['iscrowd'], dtype=bool).reshape(-1)
    return {**info, **{key: np.asarray(info[key])[keep] for key in ('boxes', 'labels', 'ids')}}


@dataclass
class Sources:
    """Data sets from which measures draw, at one resolution.

    Args:
        size: Side of a resized image in pixels.
        cell: Side of a patch cell in pixels; divides `size`.
        query: Objects that are scored (validation split).
        bank: Objects for neighbors and coupling ratios (training split); the query set if there is a single split.
        singles: Images with a single object, for pairs; the bank if there is no separate set.
    """

    size: int
    cell: int
    query: ObjectSource
    bank: ObjectSource
    singles: ObjectSource

    def __getitem__(self, name: str) -> ObjectSource:
        return getattr(self, name)

    @property
    def one_split(self) -> bool:
        """Whether bank and queries are the same images, so that an image must be excluded from its own neighbors."""
        return self.bank.origin == self.query.origin
