"""Annotation file with the statistics of COCO's instances_train2017.json."""

import json
from pathlib import Path

import numpy as np

IMAGES, OBJECTS_PER_IMAGE, NUMBERS_PER_POLYGON, CROWD_SHARE, CATEGORIES = 118_287, 7.27, 50, 0.012, 80
URL = 'http://images.cocodataset.org/train2017/000000391895.jpg'


def write_coco(path: Path, share: float) -> None:
    """Writes a file with the statistics of instances_train2017.json.

    Args:
        path: File that is written.
        share: Number of images, as a share of that of COCO.
    """
    rng = np.random.default_rng(0)
    count = round(IMAGES * share)
    images = [
        dict(
            license=3,
            file_name=f'{i:012d}.jpg',
            coco_url=URL,
            height=480,
            width=640,
            date_captured='2013-11-14 11:18:45',
            flickr_url=URL,
            id=i,
        )
        for i in range(count)
    ]
    objects = round(count * OBJECTS_PER_IMAGE)
    annotations = [_annotation(rng, number, int(rng.integers(count))) for number in range(objects)]
    categories = [dict(supercategory='thing', id=i, name=f'kind {i}') for i in range(1, CATEGORIES + 1)]
    path.write_text(
        json.dumps(dict(info={}, licenses=[], images=images, annotations=annotations, categories=categories))
    )


def _annotation(rng: np.random.Generator, number: int, image: int) -> dict:
    x, y, w, h = (float(value) for value in rng.uniform((0, 0, 9, 9), (400, 300, 200, 150)).round(2))
    crowd = bool(rng.random() < CROWD_SHARE)
    if crowd:
        cuts = np.sort(rng.choice(480 * 640, 400, replace=False))
        shape = dict(counts=np.diff(cuts, prepend=0, append=480 * 640).tolist(), size=[480, 640])
    else:
        points = rng.uniform((x, y), (x + w, y + h), (int(rng.integers(3, NUMBERS_PER_POLYGON - 2)), 2))
        shape = [points.round(2).ravel().tolist()]
    return dict(
        segmentation=shape,
        area=w * h / 2,
        iscrowd=int(crowd),
        image_id=image,
        bbox=[x, y, w, h],
        category_id=int(rng.integers(1, CATEGORIES + 1)),
        id=number,
    )
