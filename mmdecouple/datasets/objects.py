"""Object-level data for the measurements: images with boxes, exact masks and labels."""

import os
from collections.abc import Hashable
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from mmengine.logging import print_log

from mmdecouple.datasets.annotations import AnnotationRecord, read_instances
from mmdecouple.datasets.listing import find_missing, join_names
from mmdecouple.datasets.reading import UnreadableImage, read_image
from mmdecouple.datasets.segmentations import decode_mask, find_malformed
from mmdecouple.registry import DATASETS
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.settings import Settings


class ObjectImage(NamedTuple):
    """One image with its N objects.

    Attributes:
        image: uint8 RGB ``(H, W, 3)``.
        boxes: float32 ``(N, 4)``, x1, y1, x2, y2 in pixels, right and bottom edge exclusive.
        labels: int64 ``(N,)``, index into the data set's ``classes``.
        masks: bool ``(N, H, W)``.
        ids: int64 ``(N,)``, annotation ids, unique in the data set.
        image_id: Id of the image, unique in the data set.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    ids: np.ndarray
    image_id: int


class ObjectDataset(Protocol):
    """What a measurement asks of a data set; nothing in it is random.

    Attributes:
        name: Names the data in manifests and reports.
        origin: Where the images come from: data sets of one origin mean the same image by the same id.
        classes: Names of the object classes.
        background_labels: int64 ``(len(self),)`` background class of each image, or None where
            unknown.
        notes: Remarks for the report.
    """

    name: str
    origin: Hashable
    classes: tuple[str, ...]
    background_labels: np.ndarray | None
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """Number of images, those without an object included."""

    def objects(self, index: int) -> ObjectImage:
        """The image at `index` with its objects."""

    def info(self, index: int) -> dict[str, Any]:
        """The same objects without decoding a pixel.

        Returns:
            ``image_id``, ``height``, ``width`` (int), ``boxes`` (N, 4) float32, ``labels`` (N,)
            int64, ``ids`` (N,) int64, ``iscrowd`` (N,) bool (always False), ``areas`` (N,) float32
            mask pixels.
        """


@DATASETS.register_module()
class CocoObjects:
    """The objects of a COCO-format annotation file.

    Images are ordered by id. Crowd annotations are dropped. Boxes are clipped to their image; what has no area then is
    dropped, too, and counted in ``notes``. Masks hold what lies inside the image. Of what is dropped the segmentation
    is not looked at; all others are checked here, so that no measurement meets one that cannot be drawn.

    Args:
        ann_file: Path of the ``instances_*.json``.
        img_prefix: Folder of the images.
        name: Name in manifests and reports. None: the annotation file's name without ending.

    Raises:
        FileNotFoundError: The annotation file or one of the images is missing.
        ValueError: The file is no COCO instance file, or names no image; the line names the record and the field.
    """

    background_labels = None

    def __init__(self, ann_file: str, img_prefix: str, name: str | None = None) -> None:
        check = Settings(self)
        content = read_instances(check.text('ann_file', ann_file))
        check.text('img_prefix', img_prefix)
        check.text('name', name, optional=True)
        self.name = name or os.path.splitext(os.path.basename(ann_file))[0]
        self.ann_file, self.img_prefix = ann_file, img_prefix
        self.origin = os.path.realpath(ann_file), os.path.realpath(img_prefix)
        categories = sorted(content.categories, key=lambda category: category.id)
        self.classes = tuple(category.name for category in categories)
        self._images = sorted(content.images, key=lambda image: image.id)
        self._paths = _find_images(ann_file, img_prefix, [image.file_name for image in self._images])
        self._take(content.annotations, {category.id: label for label, category in enumerate(categories)})

    def _take(self, records: list[AnnotationRecord], label_of: dict[int, int]) -> None:
        """Keep what can be measured, by image, as arrays: they are small, and loader processes share them."""
        place_of = {image.id: place for place, image in enumerate(self._images)}
        owners = np.array([place_of.get(record.image_id, -1) for record in records], np.int64)
        labels = np.array([label_of.get(record.category_id, -1) for record in records], np.int64)
        for place in np.flatnonzero((owners < 0) | (labels < 0))[:1]:
            raise UserError(
                f'{self._place(place, records)} names an image or category the file does not list; repair the file.'
            )
        sizes = np.array([(image.height, image.width) for image in self._images], np.int64)[owners]
        boxes, changed = _clipped([record.bbox for record in records], sizes)
        areas = np.array([record.area for record in records], np.float64).reshape(-1)
        areas[changed] = np.minimum(areas, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1, dtype=np.float64))[changed]
        crowd = np.array([record.iscrowd for record in records], bool)
        empty = ~crowd & ~(boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        kept = np.flatnonzero(~crowd & ~empty)
        kept = kept[np.argsort(owners[kept], kind='stable')]
        shapes = [records[place].segmentation for place in kept.tolist()]
        if (malformed := find_malformed(shapes, sizes[kept])) is not None:
            raise UserError(
                f'{self._place(kept[malformed[0]], records)} {malformed[1]}; repair the record or leave it out.'
            )
        self._first = np.searchsorted(owners[kept], np.arange(len(self._images) + 1))
        self._boxes, self._labels = boxes[kept], labels[kept]
        self._areas = areas[kept].astype(np.float32)
        self._ids = np.array([records[place].id for place in kept.tolist()], np.int64)
        self._shapes = b''.join(shapes)
        self._shape_ends = np.cumsum([0, *map(len, shapes)])
        self.notes = _notes(self.name, len(kept) + int(empty.sum()), int(empty.sum()), int(changed[kept].sum()))
        for note in self.notes:
            print_log(note, 'current')

    def _place(self, place: int, records: list[AnnotationRecord]) -> str:
        return f'CocoObjects: annotations[{place}] (id {records[place].id}) of {shown(self.ann_file, 160)}'

    def __len__(self) -> int:
        return len(self._images)

    def info(self, index: int) -> dict[str, Any]:
        """See ``ObjectDataset.info``."""
        image, own = self._images[index], self._own(index)
        return dict(
            image_id=image.id,
            height=image.height,
            width=image.width,
            boxes=self._boxes[own].copy(),
            labels=self._labels[own].copy(),
            ids=self._ids[own].copy(),
            iscrowd=np.zeros(own.stop - own.start, bool),
            areas=self._areas[own].copy(),
        )

    def objects(self, index: int) -> ObjectImage:
        """See ``ObjectDataset.objects``."""
        info, own, path = self.info(index), self._own(index), self._paths[index]
        size = info['height'], info['width']
        try:
            # Annotations live in the grid of the stored pixels, whatever EXIF says.
            image = read_image(path, upright=False)
        except UnreadableImage as error:
            raise UserError(
                f'CocoObjects: {shown(path, 160)} is not a readable image ({error}); replace the file.'
            ) from error
        if image.shape[:2] != size:
            raise UserError(
                f'CocoObjects: {path} is {image.shape[0]} x {image.shape[1]} pixels, but '
                f'{self.ann_file} says {size[0]} x {size[1]}; use the images it was '
                'written for.'
            )
        ends = self._shape_ends[own.start : own.stop + 1]
        masks = [decode_mask(self._shapes[start:end], size) for start, end in pairwise(ends)]
        return ObjectImage(
            image,
            info['boxes'],
            info['labels'],
            np.array(masks, bool).reshape(-1, *size),
            info['ids'],
            info['image_id'],
        )

    def _own(self, index: int) -> slice:
        index = range(len(self._images))[index]
        return slice(int(self._first[index]), int(self._first[index + 1]))


def _clipped(boxes: list[tuple], sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes x, y, w, h as x1, y1, x2, y2, float32 ``(N, 4)``, clipped to (height, width), and which changed."""
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    with np.errstate(over='ignore'):  # a number too large becomes infinity, which clipping makes the border
        corners[:, 2:] += corners[:, :2]
        corners = corners.astype(np.float32)
    inside = np.clip(corners, 0, np.tile(sizes[:, ::-1], 2).reshape(-1, 4).astype(np.float32))
    return inside, (inside != corners).any(axis=1)


def _notes(name: str, boxes: int, empty: int, clipped: int) -> tuple[str, ...]:
    if not empty and not clipped:
        return ()
    return (
        f'{name}: {empty} of {boxes} boxes lie outside their image or have no area and are left out; {clipped} '
        'were clipped to it.',
    )


def _find_images(ann_file: str, img_prefix: str, names: list[str]) -> list[str]:
    if '://' not in img_prefix and not os.path.isdir(img_prefix):
        raise MissingFile(f'CocoObjects: image folder {img_prefix} does not exist (config key img_prefix).')
    paths = join_names(img_prefix, names)
    missing = find_missing(paths)
    if missing:
        raise MissingFile(
            f'CocoObjects: {len(missing)} of {len(names)} images of {shown(ann_file, 100)} are not in '
            f'{shown(img_prefix, 100)}, the first is {shown(os.path.relpath(missing[0], img_prefix))} (config key '
            'img_prefix).'
        )
    return paths
