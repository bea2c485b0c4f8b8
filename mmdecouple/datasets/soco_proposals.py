"""Reader and converter of SoCo's JSON files with proposals."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from msgspec import DecodeError, Meta, Raw
from msgspec import json as strict_json

from mmdecouple.datasets.annotations import read_text_file
from mmdecouple.datasets.proposals import write_proposals
from mmdecouple.datasets.reading import UnreadableImage, open_header
from mmdecouple.utils.errors import UserError, shown

_EXIF_ORIENTATION = 0x0112
_Pixels = Annotated[float, Meta(ge=-(2**31), le=2**31)]
_decode_rects = strict_json.Decoder(list[Annotated[list[_Pixels], Meta(min_length=4)]]).decode


def read_soco_json(path: str | Path, names: Sequence[str]) -> list[np.ndarray]:
    """Reads the boxes of images from a JSON file of SoCo.

    The file maps the base name of each image to a list of (x, y, w, h), which SoCo uses as the pixels x to x + w - 1,
    so that x2 = x + w with an exclusive right edge. As SoCo's script computes w as the distance between the first and
    last column, such a box is one column and one row smaller than its region; it is kept as SoCo trains with it.

    Args:
        path: JSON file.
        names: Image names; folder and extension are ignored.

    Returns:
        For each name, x1, y1, x2, y2 in pixels, with exclusive right and bottom edges, int64 `(N, 4)`.

    Raises:
        MissingFile: The file does not exist.
        UserError: The file has another format, or lacks an image.

    Source: `hologerry/SoCo` `contrast/data/props_utils.py` (`convert_props`).
    """
    try:
        lists = strict_json.decode(read_text_file(str(path), "file of SoCo's proposals"), type=dict[str, Raw])
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(
            f"read_soco_json: {str(path)!r} is not a JSON object in SoCo's format ({error}); it must map the base name "
            'of each image to a list of (x, y, w, h).'
        ) from error
    # SoCo's base name ends at the first dot.
    keys = [PurePosixPath(name).name.partition('.')[0] for name in names]
    missing = [name for name, key in zip(names, keys) if key not in lists]
    if missing:
        raise UserError(
            f'read_soco_json: {len(missing)} of the {len(names)} images are not in {str(path)!r}, the first is '
            f'{missing[0]!r}; use the images that the file was made for.'
        )
    return [_to_boxes(path, key, lists[key]) for key in keys]


def _to_boxes(path: str | Path, key: str, rects: Raw) -> np.ndarray:
    try:
        found = _decode_rects(rects)
    except DecodeError as error:
        raise UserError(
            f'read_soco_json: entry {key!r} of {str(path)!r} is not a list of (x, y, w, h): '
            f'{shown(bytes(rects).decode(errors="replace"))}.'
        ) from error
    boxes = np.array([rect[:4] for rect in found], np.float64).reshape(-1, 4).round().astype(np.int64)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def convert(out: Path, images: str, names: list[str], source: str, dataset: str) -> dict[str, Any]:
    """Converts a JSON file of SoCo to a proposal file, and returns its header.

    Args:
        out: Proposal file that is written.
        images: Folder of the images.
        names: Names of the images, relative to `images`.
        source: JSON file of SoCo.
        dataset: Name of the data set.
    """
    boxes = read_soco_json(source, names)
    sizes = [_upright_size(os.path.join(images, name)) for name in names]
    # SoCo searches the stored pixels and ignores EXIF, so boxes of rotated images would not fit.
    boxes = [some if not turned else some[:0] for some, (_, turned) in zip(boxes, sizes)]
    parameters = dict(method='imported', source=Path(source).name)
    return write_proposals(out, names, [size for size, _ in sizes], boxes, dataset, parameters)


def _upright_size(path: str) -> tuple[tuple[int, int], bool]:
    """Returns the upright (height, width) of an image and whether EXIF rotates it; (0, 0) if it cannot be read."""
    try:
        with open_header(path) as image:
            width, height = image.size
            turn = image.getexif().get(_EXIF_ORIENTATION, 1)
    except UnreadableImage:
        return (0, 0), False
    return ((width, height) if turn >= 5 else (height, width)), turn != 1
