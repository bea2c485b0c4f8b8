"""Object-level data for measurements: images with boxes, exact masks and labels."""

import os
from collections.abc import Hashable
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from mmengine.logging import print_log

from mmdecouple.datasets.annotations import AnnotationRecord, read_instances
from mmdecouple.datasets.listing import PathList, find_missing
from mmdecouple.datasets.names import NameFile
from mmdecouple.datasets.packed_subset import PackedSubset, is_pack
from mmdecouple.datasets.reading import UnreadableImage, read_image
from mmdecouple.datasets.segmentations import decode_mask, find_malformed
from mmdecouple.registry import DATASETS
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.settings import Settings


class ObjectImage(NamedTuple):
    """One image with its N objects.

    Attributes:
        image: RGB pixels, uint8 `(H, W, 3)`.
        boxes: x1, y1, x2, y2 in pixels, with exclusive right and bottom edges, float32 `(N, 4)`.
        labels: Index into the `classes` of the data set, int64 `(N,)`.
        masks: Pixels of each object, bool `(N, H, W)`.
        ids: Annotation ids, unique in the data set, int64 `(N,)`.
        image_id: Id of the image, unique in the data set.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    ids: np.ndarray
    image_id: int


class ObjectDataset(Protocol):
    """Interface of data sets for measurements, which contain no randomness.

    Attributes:
        name: Name of the data in manifests and reports.
        origin: Source of the images: in data sets of the same origin, the same id refers to the same image.
        classes: Names of the object classes.
        background_labels: Background class of each image, int64 `(len(self),)`, or None if unknown.
        notes: Remarks for the report.
    """

    name: str
    origin: Hashable
    classes: tuple[str, ...]
    background_labels: np.ndarray | None
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """Returns the number of images, including those without objects."""

    def objects(self, index: int) -> ObjectImage:
        """Returns the image at `index` with its objects."""

    def info(self, index: int) -> dict[str, Any]:
        """Returns the objects of an image without decoding its pixels.

        Returns:
            Dict with `image_id`, `height`, `width` (int), `boxes` (float32 `(N, 4)`), `labels` (int64 `(N,)`), `ids`
            (int64 `(N,)`), `iscrowd` (bool `(N,)`, always False) and `areas` (mask pixels, float32 `(N,)`).
        """


@DATASETS.register_module()
class CocoObjects:
    """Objects of a COCO-format annotation file.

    Images are ordered by id. Crowd annotations are dropped. Boxes are clipped to their image; boxes without area are
    dropped as well, and counted in `notes`. Masks are clipped to the image. The segmentations of all remaining objects
    are checked at construction, so that a measurement cannot fail at a malformed one.

    Args:
        ann_file: Path of the `instances_*.json`.
        img_prefix: Folder of the images, or a pack of unchanged files.
        name: Name in manifests and reports; None takes the name of the annotation file without its extension.

    Raises:
        MissingFile: The annotation file or an image does not exist.
        UserError: The file is not a COCO instance file or lists no image; the message names the record and the field.
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
        images = sorted(content.images, key=lambda image: image.id)
        self._paths = _find_images(ann_file, img_prefix, [image.file_name for image in images])
        self._image_ids = np.array([image.id for image in images], np.int64)
        self._image_sizes = np.array([(image.height, image.width) for image in images], np.int64)
        self._take(content.annotations, {category.id: label for label, category in enumerate(categories)})

    def _take(self, records: list[AnnotationRecord], label_of: dict[int, int]) -> None:
        """Stores the objects that can be measured, sorted by image, in arrays, which loader processes share."""
        place_of = {identity: place for place, identity in enumerate(self._image_ids.tolist())}
        owners = np.array([place_of.get(record.image_id, -1) for record in records], np.int64)
        labels = np.array([label_of.get(record.category_id, -1) for record in records], np.int64)
        for place in np.flatnonzero((owners < 0) | (labels < 0))[:1]:
            raise UserError(
                f'{self._place(place, records)} refers to an image or category that the file does not list; repair '
                'the file.'
            )
        sizes = self._image_sizes[owners]
        boxes, changed = _clipped([record.bbox for record in records], sizes)
        areas = np.array([record.area for record in records], np.float64).reshape(-1)
        areas[changed] = np.minimum(areas, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1, dtype=np.float64))[changed]
        crowd = np.array([record.iscrowd for record in records], bool)
        empty = ~crowd & ~(boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        valid = np.flatnonzero(~crowd & ~empty)
        valid = valid[np.argsort(owners[valid], kind='stable')]
        shapes = [records[place].segmentation for place in valid.tolist()]
        if (malformed := find_malformed(shapes, sizes[valid])) is not None:
            raise UserError(f'{self._place(valid[malformed[0]], records)} {malformed[1]}; repair or remove the record.')
        self._first = np.searchsorted(owners[valid], np.arange(len(self) + 1))
        self._boxes, self._labels = boxes[valid], labels[valid]
        self._areas = areas[valid].astype(np.float32)
        self._ids = np.array([records[place].id for place in valid.tolist()], np.int64)
        self._shapes = b''.join(shapes)
        self._shape_ends = np.cumsum([0, *map(len, shapes)])
        self.notes = _notes(self.name, len(valid) + int(empty.sum()), int(empty.sum()), int(changed[valid].sum()))
        for note in self.notes:
            print_log(note, 'current')

    def _place(self, place: int, records: list[AnnotationRecord]) -> str:
        return f'CocoObjects: annotations[{place}] (id {records[place].id}) of {shown(self.ann_file, 160)}'

    def __len__(self) -> int:
        return len(self._image_ids)

    def info(self, index: int) -> dict[str, Any]:
        """See `ObjectDataset.info`."""
        own = self._own(index)
        height, width = self._image_sizes[index].tolist()
        return dict(
            image_id=int(self._image_ids[index]),
            height=height,
            width=width,
            boxes=self._boxes[own].copy(),
            labels=self._labels[own].copy(),
            ids=self._ids[own].copy(),
            iscrowd=np.zeros(own.stop - own.start, bool),
            areas=self._areas[own].copy(),
        )

    def files(self, index: int) -> list[str]:
        """See `ObjectDataset`."""
        return [self.ann_file, *([] if isinstance(self._paths, PackedSubset) else [self._paths[index]])]

    def objects(self, index: int) -> ObjectImage:
        """See `ObjectDataset.objects`."""
        info, own, path = self.info(index), self._own(index), self._paths[index]
        size = info['height'], info['width']
        try:
            # Annotations refer to the stored pixels, before the EXIF orientation.
            image = (
                self._paths.read(index) if isinstance(self._paths, PackedSubset) else read_image(path, upright=False)
            )
        except UnreadableImage as error:
            raise UserError(
                f'CocoObjects: {shown(path, 160)} is not a readable image ({error}); replace the file.'
            ) from error
        if image.shape[:2] != size:
            raise UserError(
                f'CocoObjects: {path} is {image.shape[0]} x {image.shape[1]} pixels, but {self.ann_file} lists '
                f'{size[0]} x {size[1]}; use the images that the file belongs to.'
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
        index = range(len(self))[index]
        return slice(int(self._first[index]), int(self._first[index + 1]))


def _clipped(boxes: list[tuple], sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Converts boxes x, y, w, h to x1, y1, x2, y2 clipped to (height, width).

    Args:
        boxes: N boxes x, y, w, h in pixels.
        sizes: Height and width of their images, int `(N, 2)`.

    Returns:
        The clipped boxes, float32 `(N, 4)`, and whether each box changed, bool `(N,)`.
    """
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    with np.errstate(over='ignore'):  # a number that is too large becomes infinity and is then clipped
        corners[:, 2:] += corners[:, :2]
        corners = corners.astype(np.float32)
    inside = np.clip(corners, 0, np.tile(sizes[:, ::-1], 2).reshape(-1, 4).astype(np.float32))
    return inside, (inside != corners).any(axis=1)


def _notes(name: str, boxes: int, empty: int, clipped: int) -> tuple[str, ...]:
    if not empty and not clipped:
        return ()
    return (
        f'{name}: {empty} of {boxes} boxes lie outside their image or have no area and are dropped; {clipped} were '
        'clipped to it.',
    )


def _find_images(ann_file: str, img_prefix: str, names: list[str]) -> PathList | PackedSubset:
    if is_pack(img_prefix):
        return PackedSubset(img_prefix, names, ann_file)
    if '://' not in img_prefix and not os.path.isdir(img_prefix):
        raise MissingFile(f'CocoObjects: image folder {img_prefix} does not exist (config key img_prefix).')
    paths = PathList(img_prefix, NameFile.of(names))
    missing = find_missing(list(paths))
    if missing:
        raise MissingFile(
            f'CocoObjects: {len(missing)} of {len(names)} images of {shown(ann_file, 100)} are not in '
            f'{shown(img_prefix, 100)}, the first is {shown(os.path.relpath(missing[0], img_prefix))} (config key '
            'img_prefix).'
        )
    return paths
