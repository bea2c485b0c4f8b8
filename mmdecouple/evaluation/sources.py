"""Object data at the resolution of the probes: images and boxes by image id, squashed."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from mmdecouple.datasets.objects import ObjectImage
from mmdecouple.datasets.resizing import resize


class ObjectDataset(Protocol):
    """Annotated images that measures draw from. `background_labels` (N,) and `notes` are optional.

    Attributes:
        name: Names the data in reports and manifests.
        origin: Equal for two data sets that hold the same images.
        classes: Names of the classes.
    """

    name: str
    origin: str
    classes: Sequence[str]

    def __len__(self) -> int:
        """Number of images."""

    def info(self, index: int) -> dict:
        """Size, boxes, labels and ids of an image, without decoding it."""

    def objects(self, index: int) -> ObjectImage:
        """The image with its objects and their masks."""


class Bounded(OrderedDict):
    """A dict that forgets what was used least recently beyond `limit` entries."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = max(limit, 1)

    def remember(self, key: Any, make: Callable[[], Any]) -> Any:
        """The value of `key`, made if it is not there."""
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
    """One object data set seen at `size` x `size` pixels, with a bounded cache of decoded images.

    Args:
        dataset: the object data set.
        size: side of the squashed images in pixels.
        cache: number of decoded images kept, at least 1.

    Attributes:
        images: all image ids, in the order of the data set.
    """

    def __init__(self, dataset: ObjectDataset, size: int, cache: int = 32) -> None:
        self.dataset = dataset
        self.name, self.origin = dataset.name, dataset.origin
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
        """Size, boxes, labels and ids of an image, without crowds and without decoding pixels."""
        return self._infos.remember(image, lambda: _without_crowds(self.dataset.info(self._index[image])))

    def boxes(self, image: int) -> np.ndarray:
        """Boxes float32 `(N, 4)` in pixels of the squashed image, in the order of `ids`."""
        info = self.info(image)
        scale = self.size / np.array([info['width'], info['height']] * 2, dtype=np.float32)
        return (np.asarray(info['boxes'], dtype=np.float32).reshape(-1, 4) * scale).astype(np.float32)

    def chosen(self, image: int, objects: list[int]) -> np.ndarray:
        """Boxes `(len(objects), 4)` of the objects with the given ids, in that order."""
        position = {int(key): i for i, key in enumerate(self.info(image)['ids'])}
        return self.boxes(image)[[position[key] for key in objects]]

    def background(self, image: int) -> int | None:
        """Class of the image's background where the data set knows it, else None."""
        labels = getattr(self.dataset, 'background_labels', None)
        return None if labels is None else int(labels[self._index[image]])

    def pixels(self, image: int) -> np.ndarray:
        """The image squashed to uint8 RGB `(size, size, 3)`, see `resize`. Do not write into it."""
        return self._load(image)[0]

    def mask(self, image: int, obj: int) -> np.ndarray:
        """Bool `(size, size)`: pixels of which at least half belong to the object."""
        return self._load(image)[1][obj]

    def _load(self, image: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        return self._decoded.remember(image, lambda: self._decode(image))

    def _decode(self, image: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        item = self.dataset.objects(self._index[image])
        side = (self.size, self.size)
        pixels = resize(item.image, side)
        masks = {
            int(key): cv2.resize(mask.astype(np.float32), side, interpolation=cv2.INTER_AREA) >= 0.5
            for key, mask in zip(item.ids, item.masks)
        }
        return pixels, masks


def _without_crowds(info: dict) -> dict:
    keep = ~np.asarray(info['iscrowd'], dtype=bool).reshape(-1)
    return {**info, **{key: np.asarray(info[key])[keep] for key in ('boxes', 'labels', 'ids')}}


@dataclass
class Sources:
    """The data sets that measures draw from, at one resolution.

    Args:
        size: side of a squashed image in pixels.
        cell: side of one patch cell in pixels; divides `size`.
        query: objects that are scored (validation split).
        bank: neighbors and coupling ratios (training split); the query set itself when there is
            only one.
        singles: images with one object, for pairs; the bank when there is no set of its own.
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
        """Whether bank and queries are the same images: none must be its own neighbor."""
        return self.bank.origin == self.query.origin
