"""COCO's three ways to write a mask, checked before pycocotools draws them: malformed ones make it crash or invent."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np
from msgspec import DecodeError, Meta, Raw, Struct
from msgspec import json as strict_json
from pycocotools import mask as coco_mask

from mmdecouple.datasets.annotations import Side

_MOST_LETTERS = 7  # of a number: 35 bits
_LETTERS_AT_ONCE = 1_000_000
_REACH = 3  # sides of the image: the work of drawing a polygon grows with the length of its edges


class Rle(Struct, gc=False):
    """Run lengths, column by column, background first: a list of numbers, or COCO's text of them."""

    size: tuple[Side, Side]
    counts: str | list[Annotated[int, Meta(ge=0, le=2**62)]]


Polygon = Annotated[list[float], Meta(min_length=6)]
_decode = strict_json.Decoder(Annotated[list[Polygon], Meta(min_length=1)] | Rle).decode


def find_malformed(shapes: Sequence[Raw], sizes: np.ndarray) -> tuple[int, str] | None:
    """The first segmentation that is no mask of its image.

    Args:
        shapes: JSON text of n segmentations.
        sizes: int `(n, 2)`, height and width of their images.

    Returns:
        Its position and what is wrong with it; None where all can be drawn.
    """
    texts, owners = [], []
    for place, (raw, height, width) in enumerate(zip(shapes, sizes[:, 0].tolist(), sizes[:, 1].tolist())):
        try:
            shape = _decode(raw)
        except (DecodeError, UnicodeDecodeError) as error:  # text that is skipped at first is not decoded
            return place, _words(raw, str(error))
        if isinstance(shape, Rle):
            if shape.size != (height, width):
                return place, (
                    f'has run lengths for {shape.size[0]} x {shape.size[1]} pixels, its image has {height} '
                    f'x {width} (height x width)'
                )
            if isinstance(shape.counts, str):
                texts.append(shape.counts)
                owners.append(place)
            elif sum(shape.counts) != height * width:
                return place, f'has run lengths of {sum(shape.counts)} pixels, its image has {height * width}'
        elif wrong := _wrong_polygon(shape, max(height, width)):
            return place, wrong
    totals = count_pixels(texts)
    wrong = np.flatnonzero(totals != sizes[owners].prod(axis=1, dtype=np.int64)) if owners else []
    if len(wrong):
        return owners[wrong[0]], 'has compressed run lengths that do not fill its image'
    return None


def decode_mask(raw: bytes, size: tuple[int, int]) -> np.ndarray:
    """Bool `(H, W)` of a segmentation that `find_malformed` has passed.

    Args:
        raw: Its JSON text.
        size: Height and width of the image.
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
    """Pixels that compressed run lengths cover, foreground and background; -1 where the text is none.

    A number is written in letters of 5 bits, the lowest first, offset by 48; bit 5 says that another follows, bit 4 of
    the last is the sign. From the fourth number on, the difference to the one before the last is written.

    Args:
        texts: n texts.

    Returns:
        int64 `(n,)`.

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
    bad[owners[lengths > _MOST_LETTERS]] = True
    shifts = 5 * np.minimum(np.arange(len(letters)) - np.repeat(first, lengths), _MOST_LETTERS)
    numbers = np.add.reduceat((letters & 31) << shifts, first)
    numbers -= (letters[last] & 16 != 0) * (1 << 5 * np.minimum(lengths, _MOST_LETTERS))

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
            return f'has a polygon ({number}) of {len(polygon)} numbers, an odd count'
        if min(polygon) < -_REACH * side or max(polygon) > (1 + _REACH) * side:
            return f'has a polygon ({number}) with a corner far outside its image'
    return None


def _words(raw: bytes, problem: str) -> str:
    if bytes(raw).split() in ([b'null'], [b'[]'], [b'[', b']']):
        return 'has no segmentation'
    reason, _, place = problem.partition(' - at ')
    if 'length >= 6' in reason:
        return f'has a polygon of fewer than three points (segmentation{place.strip("`$")})'
    if place.startswith('`$[') and 'Expected `array`' in reason:
        return 'has a flat list or text for a segmentation, not a list of polygons'
    return f'has a segmentation that is neither polygons nor run lengths ({reason.replace("`", "")[:40]})'
