"""Reproducible subsets of a few percent of a COCO-format data set."""

import hashlib
import json
from pathlib import Path
from typing import Any

from mmdecouple.utils.errors import MissingFile, UserError
from mmdecouple.utils.files import check_regular


def read_annotations(path: str | Path) -> dict[str, Any]:
    """Reads a COCO-format annotation file.

    Args:
        path: JSON file with `images`, each with an `id`, and `annotations`, each with an `image_id`.

    Raises:
        MissingFile: The file does not exist.
        UserError: The file has another format.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFile(f'the annotation file {path} does not exist; give the folder that contains it.')
    check_regular(path, 'annotation file')
    try:
        content = json.loads(path.read_bytes())
        for key, name in (('images', 'id'), ('annotations', 'image_id')):
            if not all(isinstance(record[name], int) for record in content[key]):
                raise TypeError(f'{name} of {key} must be whole numbers')
        if len({record['id'] for record in content['images']}) < len(content['images']):
            raise ValueError('an image id is repeated')
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f'{path} is not a COCO annotation file ({type(error).__name__}: {error}); it must have images with ids '
            'and annotations with image ids.'
        ) from error
    return content


def take_fraction(content: dict[str, Any], percent: float, seed: int) -> dict[str, Any]:
    """Returns the records of a fraction of the images, in their order; all other content is kept.

    Images are ranked by the SHA-256 of `seed:id`. A subset therefore depends neither on the order of the file nor on
    the generator of a library, and the subset of 1 % is contained in that of 10 %.

    Args:
        content: Return value of `read_annotations`, with N images.
        percent: Fraction in percent, in (0, 100]; round(N percent / 100) images are taken, but at least one.
        seed: Seed of the subset.

    Raises:
        UserError: `percent` is out of range, or there is no image.
    """
    if not 0 < percent <= 100:
        raise UserError(f'coco_subset: percent must lie in (0, 100], got {percent}.')
    if not content['images']:
        raise UserError('coco_subset: the annotation file has no images.')
    ranked = sorted(
        (record['id'] for record in content['images']),
        key=lambda image: hashlib.sha256(f'{seed}:{image}'.encode()).digest(),
    )
    chosen = set(ranked[: max(1, round(len(ranked) * percent / 100))])
    return content | dict(
        images=[record for record in content['images'] if record['id'] in chosen],
        annotations=[record for record in content['annotations'] if record['image_id'] in chosen],
    )
