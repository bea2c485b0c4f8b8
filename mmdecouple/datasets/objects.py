"""Object-level data for the measurements: images with boxes, exact masks and labels."""
import json
import os
from collections.abc import Hashable
from typing import Any, NamedTuple, Protocol

import cv2
import mmengine.fileio as fileio
import numpy as np
from pycocotools import mask as coco_mask

from mmdecouple.registry import DATASETS
from mmdecouple.utils.errors import MissingFile, UserError


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
    """

    name: str
    origin: Hashable
    classes: tuple[str, ...]
    background_labels: np.ndarray | None

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


_NEEDED = dict(images=('id', 'file_name', 'height', 'width'),
               categories=('id', 'name'),
               annotations=('id', 'image_id', 'category_id', 'bbox', 'area', 'segmentation'))


@DATASETS.register_module()
class CocoObjects:
    """The objects of a COCO-format annotation file.

    Images are ordered by id. Crowd annotations and boxes without area are dropped.

    Args:
        ann_file: Path of the ``instances_*.json``.
        img_prefix: Folder of the images.
        name: Name in manifests and reports. None: the annotation file's name without ending.

    Raises:
        FileNotFoundError: The annotation file or one of the images is missing.
        ValueError: The file is no COCO instance file, or names no image.
    """

    background_labels = None

    def __init__(self, ann_file: str, img_prefix: str, name: str | None = None) -> None:
        data = _read_annotations(ann_file)
        self.name = name or os.path.splitext(os.path.basename(ann_file))[0]
        self.ann_file, self.img_prefix = ann_file, img_prefix
        self.origin = os.path.realpath(ann_file), os.path.realpath(img_prefix)
        categories = sorted(data['categories'], key=lambda category: category['id'])
        self.classes = tuple(category['name'] for category in categories)
        label_of = {category['id']: label for label, category in enumerate(categories)}
        self._images = sorted(data['images'], key=lambda image: image['id'])
        _require_images(ann_file, img_prefix, [image['file_name'] for image in self._images])
        annotations: dict[int, list] = {image['id']: [] for image in self._images}
        for annotation in data['annotations']:
            image_id, category_id = annotation['image_id'], annotation['category_id']
            if image_id not in annotations or category_id not in label_of:
                raise UserError(
                    f'CocoObjects: annotation {annotation["id"]} of {ann_file} names an image or '
                    'category the file does not list; repair the file.')
            if not annotation.get('iscrowd') and min(annotation['bbox'][2:]) > 0:
                annotations[image_id].append(annotation)
        self._annotations = [annotations[image['id']] for image in self._images]
        self._label_of = label_of

    def __len__(self) -> int:
        return len(self._images)

    def info(self, index: int) -> dict[str, Any]:
        """See ``ObjectDataset.info``."""
        image, found = self._images[index], self._annotations[index]
        boxes = np.array([a['bbox'] for a in found], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return dict(image_id=image['id'],
                    height=image['height'],
                    width=image['width'],
                    boxes=boxes.astype(np.float32),
                    labels=np.array([self._label_of[a['category_id']] for a in found], np.int64),
                    ids=np.array([a['id'] for a in found], np.int64),
                    iscrowd=np.zeros(len(found), bool),
                    areas=np.array([a['area'] for a in found], np.float32))

    def objects(self, index: int) -> ObjectImage:
        """See ``ObjectDataset.objects``."""
        info = self.info(index)
        size = info['height'], info['width']
        path = os.path.join(self.img_prefix, self._images[index]['file_name'])
        # Annotations live in the grid of the stored pixels, whatever EXIF says.
        content = np.frombuffer(fileio.get(path), np.uint8)
        # Of an empty file OpenCV does not say None, it fails.
        image = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION) if len(content) else None
        if image is None:
            raise UserError(f'CocoObjects: {path} is not a readable image; replace the file.')
        if image.shape[:2] != size:
            raise UserError(
                f'CocoObjects: {path} is {image.shape[0]} x {image.shape[1]} pixels, but '
                f'{self.ann_file} says {size[0]} x {size[1]}; use the images it was '
                'written for.')
        masks = [self._decode(annotation, size) for annotation in self._annotations[index]]
        return ObjectImage(image, info['boxes'], info['labels'],
                           np.array(masks, bool).reshape(-1, *size), info['ids'], info['image_id'])

    @staticmethod
    def _decode(annotation: dict, size: tuple[int, int]) -> np.ndarray:
        shape = annotation['segmentation']
        if isinstance(shape, list):
            shape = coco_mask.merge(coco_mask.frPyObjects(shape, *size))
        elif isinstance(shape['counts'], list):
            shape = coco_mask.frPyObjects(shape, *size)
        return coco_mask.decode(shape).astype(bool)


def _read_annotations(ann_file: str) -> dict[str, Any]:
    if not fileio.exists(ann_file):
        raise MissingFile(f'CocoObjects: annotation file {ann_file} does not exist '
                          '(config key ann_file).')
    try:
        data = json.loads(fileio.get_text(ann_file))
        for kind in _NEEDED:
            data[kind] = list(data[kind])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'CocoObjects: {ann_file} is not a COCO instance file ({error!r}); it needs '
            'images, annotations and categories (config key ann_file).') from None
    if not data['images']:
        raise UserError(f'CocoObjects: {ann_file} names no image (config key ann_file).')
    for kind, keys in _NEEDED.items():
        for i, record in enumerate(data[kind]):
            for key in keys:
                if record.get(key) in (None, []):
                    raise UserError(f'CocoObjects: {kind}[{i}] of {ann_file} has no {key}; the '
                                    'measurements need it.')
    return data


def _require_images(ann_file: str, img_prefix: str, names: list[str]) -> None:
    if not os.path.isdir(img_prefix):
        if '://' in img_prefix:
            return
        raise MissingFile(
            f'CocoObjects: image folder {img_prefix} does not exist (config key '
            'img_prefix).')
    # One listing a folder: asking for each of 118,000 files takes minutes on a network disk.
    folders = {os.path.dirname(name) for name in names}
    present = {
        os.path.join(folder, name)
        for folder in folders if os.path.isdir(os.path.join(img_prefix, folder))
        for name in os.listdir(os.path.join(img_prefix, folder))
    }
    missing = [name for name in names if name not in present]
    if missing:
        raise MissingFile(
            f'CocoObjects: {len(missing)} of {len(names)} images of {ann_file} are not in '
            f'{img_prefix}, the first is {missing[0]} (config key img_prefix).')
