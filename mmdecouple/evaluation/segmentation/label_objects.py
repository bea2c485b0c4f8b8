"""Objects from label maps: the connected components of each class."""

from functools import cached_property
from typing import Any

import cv2
import numpy as np

from mmdecouple.datasets.objects import ObjectImage
from mmdecouple.evaluation.segmentation.images import SegmentationImages
from mmdecouple.evaluation.segmentation.label_sources import IGNORE
from mmdecouple.utils.digests import digest_of

_SMALLEST = 0.001
_MOST = 100_000  # components of an image, for ids
_BACKGROUND = 'background'


class LabelObjects:
    """Connected components of the classes of label maps as objects; implements `ObjectDataset`.

    A component is a set of pixels of one class that are connected by sides or corners, of at least 0.1 % of the
    image. A class called `background` has no objects. Objects of one class that touch are one component, and an object
    that another one divides is several, so numbers are not comparable with those of annotated objects. All label maps
    are read once, at the first access.

    Args:
        images: Images with label maps; their `size` is not used.
    """

    background_labels = None

    def __init__(self, images: SegmentationImages) -> None:
        self.images, self.classes = images, images.classes
        self.notes = (
            f'{images.source.name}: objects are the connected components of its classes, of at least '
            f'{100 * _SMALLEST:g} % of an image; their numbers are not comparable with those of annotated objects.',
        )

    @cached_property
    def _infos(self) -> list[dict[str, Any]]:
        return [self._info(index) for index in range(len(self))]

    @cached_property
    def name(self) -> str:
        """Name of the data, which ends with a digest of the boxes."""
        boxes = [(info['image_id'], info['boxes'].tolist()) for info in self._infos]
        return f'{self.images.source.name}-components-{digest_of(boxes)[:8]}'

    @property
    def origin(self) -> str:
        """See `ObjectDataset`."""
        return self.name

    def __len__(self) -> int:
        return len(self.images)

    def info(self, index: int) -> dict[str, Any]:
        """See `ObjectDataset.info`."""
        return dict(self._infos[index])

    def objects(self, index: int) -> ObjectImage:
        """See `ObjectDataset.objects`."""
        image, labels = self.images.read(index)
        info, (_, _, masks) = self._infos[index], components(np.asarray(labels), self._counted)
        return ObjectImage(np.asarray(image), info['boxes'], info['labels'], masks, info['ids'], info['image_id'])

    @property
    def _counted(self) -> list[int]:
        return [label for label, name in enumerate(self.classes) if name != _BACKGROUND]

    def _info(self, index: int) -> dict[str, Any]:
        labels = np.asarray(self.images.read(index)[1])
        boxes, classes, masks = components(labels, self._counted)
        image_id = int(self.images.indices[index])
        return dict(
            image_id=image_id,
            height=labels.shape[0],
            width=labels.shape[1],
            boxes=boxes,
            labels=classes,
            ids=image_id * _MOST + np.arange(len(boxes), dtype=np.int64),
            iscrowd=np.zeros(len(boxes), bool),
            areas=masks.sum((1, 2)),
        )


def components(labels: np.ndarray, classes: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the connected components of a label map that cover at least 0.1 % of it.

    Args:
        labels: uint8 `(H, W)`, label of each pixel or `IGNORE`.
        classes: Labels that have components.

    Returns:
        Boxes x1, y1, x2, y2 in pixels with exclusive right and bottom edges, float32 `(N, 4)`; labels int64 `(N,)`;
        masks bool `(N, H, W)`.
    """
    boxes, found, masks = [], [], []
    for label in np.intersect1d(labels[labels != IGNORE], classes):
        count, places, statistics, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))
        for part in range(1, count):
            x, y, width, height, area = statistics[part]
            if area >= _SMALLEST * labels.size:
                boxes.append((x, y, x + width, y + height))
                found.append(label)
                masks.append(places == part)
    shape = (len(masks), *labels.shape)
    return (
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(found, np.int64),
        np.stack(masks) if masks else np.zeros(shape, bool),
    )
