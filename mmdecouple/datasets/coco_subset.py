"""Lists of a few per cent of a COCO-format data set, the same wherever they are drawn."""

import hashlib
import json
from pathlib import Path
from typing import Any

from mmdecouple.utils.errors import MissingFile, UserError
from mmdecouple.utils.files import check_regular


def read_annotations(path: str | Path) -> dict[str, Any]:
    """Content of a COCO-format annotation file.

    Args:
        path: JSON with `images`, each with an `id`, and `annotations`, each with an `image_id`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such file.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFile(f'there is no annotation file {path}; give the folder that has it.')
    check_regular(path, 'annotation file')
    try:
        content = json.loads(path.read_bytes())
        for key, name in (('images', 'id'), ('annotations', 'image_id')):
            if not all(isinstance(record[name], int) for record in content[key]):
                raise TypeError(f'{name} of {key} must be whole numbers')
        if len({record['id'] for record in content['images']}) < len(content['images']):
            raise ValueError('an image id stands twice')
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f'{path} is no COCO annotation file ({type(error).__name__}: {error}); '
            'it must have images with ids and annotations with image ids.'
        ) from error
    return content


def take_share(content: dict[str, Any], percent: float, seed: int) -> dict[str, Any]:
    """The records of a share of the images, in their order; all else is kept.

    Images are ranked by SHA-256 of `seed:id`, so a list depends neither on the order of the file nor on a library's
    generator, and that of 1 % is part of that of 10 %.

    Args:
        content: What `read_annotations` gave, with N images.
        percent: In (0, 100]; round(N percent / 100) images are taken, at least one.
        seed: Which list.

    Raises:
        ValueError: `percent` is out of range, or there is no image.
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
