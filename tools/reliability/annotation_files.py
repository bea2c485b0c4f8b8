"""A valid COCO annotation file, and trials of the readers of annotations with its mutants."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from annotation_mutants import mutants
from trial_process import Accepted

from mmdecouple.datasets.listing import list_images
from mmdecouple.datasets.objects import CocoObjects
from mmdecouple.utils.errors import UserError

SIZE = 40, 56


def whole(folder: Path) -> dict[str, Any]:
    """Returns a small valid data set of three images and seven objects, and writes its images into a folder."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(3):
        name = f'val_{number}.png'
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
        images.append(dict(id=number + 1, file_name=name, height=SIZE[0], width=SIZE[1]))
        for k in range(2 + (number == 2)):
            x, y, w, h = (int(value) for value in rng.integers((0, 0, 6, 6), (30, 20, 20, 18)))
            shapes = [
                [[x, y, x + w, y, x + w, y + h, x, y + h]],
                dict(size=list(SIZE), counts=[x * SIZE[0] + y, h, SIZE[0] * (SIZE[1] - x) - y - h]),
            ]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number + 1,
                    category_id=1 + k % 2,
                    iscrowd=int(k == 2),
                    bbox=[x, y, w, h],
                    area=w * h,
                    segmentation=shapes[(k + number) % 2],
                )
            )
    return dict(images=images, annotations=annotations, categories=[dict(id=1, name='one'), dict(id=2, name='two')])


def trial(folder: Path) -> Callable[[bytes], None]:
    """Returns the call of a trial, which reads a file as in training and in measuring, and checks the result."""

    def read(raw: bytes) -> None:
        path = folder / 'annotations.json'
        path.write_bytes(raw)
        # Training reads only the names and may accept files that measuring refuses; it must not fail in another way.
        with suppress(UserError):
            list_images(str(folder), 'annotations.json', '')
        objects = CocoObjects(str(path), str(folder))
        seen: list[int] = []
        for index in range(len(objects)):
            info, item = objects.info(index), objects.objects(index)
            height, width = item.image.shape[:2]
            boxes = info['boxes']
            inside = (
                (boxes[:, :2] >= 0).all()
                and (boxes[:, 2] <= width).all()
                and (boxes[:, 3] <= height).all()
                and (boxes[:, 2:] > boxes[:, :2]).all()
            )
            if item.masks.shape != (len(boxes), height, width) or not inside:
                raise Accepted(f'boxes {boxes.tolist()} and masks {item.masks.shape} of an image of {height} x {width}')
            seen += info['ids'].tolist()
        if len(set(seen)) < len(seen):
            raise Accepted(f'repeated ids {seen}')

    return read


def trials(count: int, start: int, folder: Path) -> tuple[Callable[[bytes], None], Iterator[bytes]]:
    """Returns the call and its payloads for `run_trials`."""
    folder.mkdir(parents=True, exist_ok=True)
    return trial(folder), iter(mutants(count, start, whole(folder)))
