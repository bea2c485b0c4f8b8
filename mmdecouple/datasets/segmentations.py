"""Segmentations of COCO in their three formats, checked before pycocotools decodes them.

For malformed segmentations, pycocotools crashes or returns arbitrary masks.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np
from msgspec import DecodeError, Meta, Raw, Struct
from msgspec import json as strict_json
from pycocotools import mask as coco_mask

from mmdecouple.datasets.annotations import Side

_MAX_LETTERS = 7  # per number: 35 bits
_LETTERS_AT_ONCE = 1_000_000
_REACH = 3  # largest distance from the image in sides, as the cost of a polygon grows with the length of its edges


class Rle(Struct, gc=False):
    """Run lengths, column by column, starting with background: a list of numbers, or the compressed text of COCO."""

    size: tuple[Side, Side]
    counts: str | list[Annotated[int, Meta(ge=0, le=2**62)]]


Polygon = Annotated[list[float], Meta(min_length=6)]
_decode = strict_json.Decoder(Annotated[list[Polygon], Meta(min_length=1)] | Rle).decode


def find_malformed(shapes: Sequence[Raw], sizes: np.ndarray) -> tuple[int, str] | None:
    """Finds the first segmentation that is not a valid mask of its image.

    Args:
        shapes: JSON texts of n segmentations.
        sizes: Height and width of their images in pixels, int `(n, 2)`.

    Returns:
        Its index and a description of the problem; None if all segmentations are valid.
    """
    texts, owners = [], []
    for place, (raw, height, width) in enumerate(zip(shapes, sizes[:, 0].tolist(), sizes[:, 1].tolist())):
        try:
            shape = _decode(raw)
        except (DecodeError, UnicodeDecodeError) as error:  # a `Raw` field was not checked as UTF-8 before
            return place, _describe(raw, str(error))
        if isinstance(shape, Rle):
            if shape.size != (height, width):
                return place, (
                    f'has run lengths for {shape.size[0]} x {shape.size[1]} pixels, but its image has {height} x '
                    f'{width} (height x width)'
                )
            if isinstance(shape.counts, str):
                texts.append(shape.counts)
                owners.append(place)
            elif sum(shape.counts) != height * width:
                return place, f'has run lengths of {sum(shape.counts)} pixels, but its image has {height * width}'
        elif wrong := _wrong_polygon(shape, max(height, width)):
            return place, wrong
    totals = count_pixels(texts)
    wrong = np.flatnonzero(totals != sizes[owners].prod(axis=1, dtype=np.int64)) if owners else []
    if len(wrong):
        return owners[wrong[0]], 'has compressed run lengths that do not match its image'
    return None


def decode_mask(raw: bytes, size: tuple[int, int]) -> np.ndarray:
    """Decodes a segmentation that `find_malformed` has accepted.

    Args:
        raw: JSON text of the segmentation.
        size: Height and width of the image in pixels.

    Returns:
        Mask, bool `(H, W)`.
    """
    shape = _decode(raw)
    if not isinstance(shape, Rle):
        packed = coco_mask.merge(coco_mask.frPyObjects(shape, *size))
    elif isinstance(shape.counts, str):
        packed = dict(size=list(size), counts=shape.counts)
    else:
        packed = coco_mask.frPyObjects(dict(size=list(size), counts=shape.counts), *size)
    return coco_mask.decode(packed).astype(bool)


def count_pixels(texts: Sequence[str]) -> np.ndarray:
    """Counts the pixels of compressed run lengths, foreground and background.

    A number is written in characters of 5 bits, lowest bits first, offset by 48; bit 5 is set if another character
    follows, and bit 4 of the last character is the sign. From the fourth number on, the difference to the number two
    places before is written.

    Args:
        texts: n compressed run lengths.

    Returns:
        Number of pixels, int64 `(n,)`; -1 for an invalid text.

    Source: `cocodataset/cocoapi` `common/maskApi.c` (`rleToString`, `rleFrString`).
    """
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    cuts = np.searchsorted(ends, np.arange(_LETTERS_AT_ONCE, ends[-1] if len(ends) else 0, _LETTERS_AT_ONCE), 'right')
    bounds = np.unique([0, *cuts, len(texts)])
    parts = [_count([text or '~' for text in texts[start:end]]) for start, end in pairwise(bounds)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _count(texts: Sequence[str]) -> np.ndarray:
    letters = np.frombuffer(''.join(texts).encode('utf-32-le', 'surrogatepass'), np.uint32).astype(np.int64) - 48
    ends = np.cumsum([len(text) for text in texts])
    starts = ends - [len(text) for text in texts]
    outside = (letters < 0) | (letters > 63)
    bad = np.logical_or.reduceat(outside, starts) | (letters[ends - 1] & 32 != 0)
    letters[np.repeat(bad, ends - starts)] = 0

    last = np.flatnonzero(letters & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    owners = np.searchsorted(ends, first, 'right')
    bad[owners[lengths > _MAX_LETTERS]] = True
    shifts = 5 * np.minimum(np.arange(len(letters)) - np.repeat(first, lengths), _MAX_LETTERS)
    numbers = np.add.reduceat((letters & 31) << shifts, first)
    numbers -= (letters[last] & 16 != 0) * (1 << 5 * np.minimum(lengths, _MAX_LETTERS))

    leading = np.searchsorted(owners, np.arange(len(texts)))
    place = np.arange(len(numbers)) - leading[owners]
    runs = np.where(place == 0, numbers, 0)
    for mine in (place % 2 == 1, (place % 2 == 0) & (place > 0)):
        sums = np.where(mine, numbers, 0).cumsum()
        runs[mine] = (sums - sums[leading][owners])[mine]
    bad |= (np.minimum.reduceat(runs, leading) < 0) | (np.maximum.reduceat(runs, leading) > 2**40)
    return np.where(bad, -1, np.add.reduceat(runs, leading))


def _wrong_polygon(polygons: list[list[float]], side: int) -> str | None:
    for number, polygon in enumerate(polygons):
        if len(polygon) % 2:
            return f'has a polygon ({number}) of {len(polygon)} numbers, which is odd'
        if min(polygon) < -_REACH * side or max(polygon) > (1 + _REACH) * side:
            return f'has a polygon ({number}) with a corner far outside its image'
    return None


def _describe(raw: bytes, problem: str) -> str:
    if bytes(raw).split() in ([b'null'], [b'[]'], [b'[', b']']):
        return 'has no segmentation'
    reason, _, place = problem.partition(' - at ')
    if 'length >= 6' in reason:
        return f'has a polygon of fewer than three points (segmentation{place.strip("`$")})'
    if place.startswith('`$[') and 'Expected `array`' in reason:
        return 'has a flat list or text as segmentation, not a list of polygons'
    return f'has a segmentation that is neither polygons nor run lengths ({reason.replace("`", "")[:40]})'
