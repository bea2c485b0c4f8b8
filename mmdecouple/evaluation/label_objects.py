"""Objects cut out of label maps: connected components of the classes that are things."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from mmdecouple.datasets.objects import ObjectImage
from mmdecouple.evaluation.measures.base import NothingToMeasure
from mmdecouple.evaluation.segmentation.images import drawn_images
from mmdecouple.evaluation.segmentation.label_classes import THINGS
from mmdecouple.evaluation.segmentation.layouts import open_source
from mmdecouple.registry import DATASETS
from mmdecouple.utils.data_spec import COMPONENTS, read_spec
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.progress import shown_progress
from mmdecouple.utils.settings import Settings

_TOUCHING = np.ones((3, 3), int)


class Component(NamedTuple):
    """One connected component of a label map.

    Attributes:
        label: Position of its class among the things.
        window: Rows and columns of its box.
        mask: Its pixels in the box, bool `(h, w)`.
    """

    label: int
    window: tuple[slice, slice]
    mask: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 in pixels, with exclusive right and bottom edges."""
        rows, columns = self.window
        return columns.start, rows.start, columns.stop, rows.stop


@DATASETS.register_module()
class LabelObjects:
    """Images with label maps, in which each connected component of a thing is an object; implements `ObjectDataset`.

    Pixels of one class that touch, also at a corner, form a component. Objects of one class that touch are therefore
    one object, and an object that is divided by another is several. The things of each kind of data are listed in
    `label_classes.THINGS`. The label maps are read at construction.

    Args:
        data: Specification of the data, of a kind in `COMPONENTS`, such as `camvid:ROOT`.
        split: `train` or `val`, see `open_source`.
        min_area: Minimum area of a component in pixels of the source, at least 1; smaller ones are left out.
        limit: Maximum number of images, those that `SegmentationImages` draws for the same limit; None for all.

    Attributes:
        name: Name of the data, which ends with a digest of all objects.

    Raises:
        MissingFile: The path does not have the expected layout.
        UserError: No object is left, a setting is out of range, or a label map cannot be read.
    """

    background_labels = None

    def __init__(self, data: str, split: str = 'val', min_area: int = 100, limit: int | None = None) -> None:
        check = Settings(self)
        check.text('data', data)
        check.number('min_area', min_area, 1, whole=True)
        check.number('limit', limit, 1, whole=True, optional=True)
        spec = read_spec(data, COMPONENTS)
        self.min_area, self.classes = min_area, THINGS[spec.kind]
        self._source = open_source(data, split)
        self.origin = spec.kind, os.path.realpath(spec.path), split, min_area
        self._images = drawn_images(len(self._source), limit)
        self._values = [self._source.classes.index(name) for name in self.classes]
        self._sizes, found, small = [], [], 0
        with shown_progress('finding objects', after=2) as show:
            for index in range(len(self)):
                labels = self._source.labels(self._images[index])
                components, more = find_components(labels, self._values, min_area)
                self._sizes.append(labels.shape)
                found.append(components)
                small += more
                show(index + 1, len(self))
        self._first = np.cumsum([0, *map(len, found)])
        every = [component for components in found for component in components]
        if not every:
            raise NothingToMeasure(
                f'LabelObjects: {self._source.name} has no component of {", ".join(self.classes)} with at least '
                f'{min_area} pixels; name other data (--data), or lower min_area.'
            )
        self._boxes = np.array([component.box for component in every], np.float32)
        self._labels = np.array([component.label for component in every], np.int64)
        self._areas = np.array([component.mask.sum() for component in every], np.float32)
        digest = digest_of([self._boxes.tolist(), self._labels.tolist(), self._first.tolist()])
        self.name = f'{self._source.name}-components-{digest[:8]}'
        self.notes = (
            f'{self._source.name}: objects are {len(every)} connected components of {", ".join(self.classes)}; '
            f'{small} with fewer than {min_area} pixels are left out.',
        )

    def __len__(self) -> int:
        return len(self._images)

    def info(self, index: int) -> dict[str, Any]:
        """See `ObjectDataset.info`."""
        own = self._own(index)
        height, width = self._sizes[index]
        return dict(
            image_id=int(self._images[index]),
            height=height,
            width=width,
            boxes=self._boxes[own].copy(),
            labels=self._labels[own].copy(),
            ids=np.arange(own.start + 1, own.stop + 1, dtype=np.int64),
            iscrowd=np.zeros(own.stop - own.start, bool),
            areas=self._areas[own].copy(),
        )

    def files(self, index: int) -> tuple[str, str]:
        """See `ObjectDataset`."""
        return self._source.pairs[self._images[index]]

    def objects(self, index: int) -> ObjectImage:
        """See `ObjectDataset.objects`."""
        info = self.info(index)
        image, labels = self._source.read(self._images[index])
        values = np.asarray(labels)
        components, _ = find_components(values, self._values, self.min_area)
        if [component.label for component in components] != info['labels'].tolist():
            raise UserError(
                f'LabelObjects: {self._source.pairs[self._images[index]][1]} has changed since the start; leave the '
                'label maps unchanged during a measurement.'
            )
        masks = np.zeros((len(components), *values.shape), bool)
        for mask, component in zip(masks, components):
            mask[component.window] = component.mask
        return ObjectImage(np.asarray(image), info['boxes'], info['labels'], masks, info['ids'], info['image_id'])

    def _own(self, index: int) -> slice:
        index = range(len(self))[index]
        return slice(int(self._first[index]), int(self._first[index + 1]))


def find_components(labels: np.ndarray, values: Sequence[int], min_area: int) -> tuple[list[Component], int]:
    """Returns the components of a label map in the order of `values`, and the number of those that are too small.

    Args:
        labels: uint8 `(H, W)`.
        values: Value of each thing in the map.
        min_area: Minimum area in pixels.
    """
    found, small = [], 0
    for label, value in enumerate(values):
        marks, _ = ndimage.label(labels == value, _TOUCHING)
        for mark, window in enumerate(ndimage.find_objects(marks), 1):
            mask = marks[window] == mark
            if mask.sum() >= min_area:
                found.append(Component(label, window, mask))
            else:
                small += 1
    return found, small
