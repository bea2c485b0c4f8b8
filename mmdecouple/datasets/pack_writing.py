"""Writing of packs: how an image is stored, and one shard or the index of a pack; see `pack_format.py`."""

import io
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg

from mmdecouple.datasets.pack_format import (
    FORMAT,
    HEAD,
    NAMES,
    RECORD,
    RECORDS,
    UNREADABLE,
    VERSION,
    index_digest,
    names_digest,
    shard_name,
)
from mmdecouple.datasets.reading import UnreadableImage, decode_image, read_content, readable_endings
from mmdecouple.datasets.resizing import resize
from mmdecouple.utils.files import write_json, write_text, writing_stream

_BLOCK = tarfile.BLOCKSIZE
_MAX_JPEG_SIDE = 65500


class Storage(NamedTuple):
    """How images are stored.

    Attributes:
        shorter_side: Length in pixels to which the shorter side of larger images is reduced; None keeps all files.
        quality: JPEG quality of the reduced images, in [1, 100]; None without `shorter_side`.
    """

    shorter_side: int | None = None
    quality: int | None = None


class StoredImage(NamedTuple):
    """An image as it is stored in a pack.

    Attributes:
        content: Bytes of the file; empty if the source cannot be read.
        ending: Extension of its name in the archive, with the dot.
        size: Height and width of the upright source in pixels; 0, 0 if it cannot be decoded.
        reason: Why the image cannot be decoded; empty if it can.
    """

    content: bytes
    ending: str
    size: tuple[int, int]
    reason: str = ''


def stored_image(path: str, storage: Storage) -> StoredImage:
    """Reads an image file and returns it as it is stored.

    The bytes of a file are kept, also those of a file that cannot be decoded, so that a data set treats it as it treats
    the file itself. With `shorter_side`, a larger image is decoded upright, reduced by the anti-aliased bicubic filter
    of Pillow with the same aspect ratio, and encoded as a baseline JPEG with chroma subsampling 4:2:0, without
    orientation and color profile, which `read_image` ignores.

    Args:
        path: Path or URI of the source.
        storage: How images are stored.
    """
    content = b''
    ending = os.path.splitext(path)[1].lower()
    ending = ending if ending in readable_endings() else '.img'
    try:
        content = read_content(path)
        image = decode_image(content)
        size = image.shape[:2]
    except UnreadableImage as error:
        return StoredImage(content, ending, (0, 0), str(error))
    side = storage.shorter_side
    if side is None or min(size) <= side:
        return StoredImage(content, ending, size)
    reduced = tuple(max(side, round(length * side / min(size))) for length in size)
    if max(reduced) > _MAX_JPEG_SIDE:
        return StoredImage(content, ending, size)
    pixels = np.ascontiguousarray(resize(image, reduced, 'bicubic'))
    return StoredImage(simplejpeg.encode_jpeg(pixels, storage.quality, 'RGB', '420'), '.jpg', size)


class Upcoming:
    """An iterator over images whose next element can be inspected; `next` is None at the end."""

    def __init__(self, images: Iterator[StoredImage]) -> None:
        self._images = images
        self.next = next(images, None)

    def take(self) -> StoredImage:
        """Returns the next element, and moves on."""
        taken, self.next = self.next, next(self._images, None)
        return taken


def write_shard(path: Path, first: int, images: Upcoming, limit: int) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Writes a shard atomically, with at least one image.

    Args:
        path: File to write.
        first: Number of the first image, which its name in the archive states.
        images: Upcoming images; as many are taken as fit.
        limit: Largest number of bytes of the images with their headers.

    Returns:
        `RECORD` of each image, whose `shard` and `name_end` are 0; and number and reason of each image that cannot be
        decoded.
    """
    rows, unreadable = [], []
    with writing_stream(path) as stream, tarfile.open(fileobj=stream, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        while images.next and (not rows or archive.offset + _size_in_archive(images.next) <= limit):
            image, number = images.take(), first + len(rows)
            header = tarfile.TarInfo(f'{number:09d}{image.ending}')
            header.size = len(image.content)
            rows.append((archive.offset + _BLOCK, 0, 0, header.size, zlib.crc32(image.content), *image.size))
            archive.addfile(header, io.BytesIO(image.content))
            if image.reason:
                unreadable.append((number, image.reason))
    return np.array(rows, RECORD), unreadable


def _size_in_archive(image: StoredImage) -> int:
    return _BLOCK + -(-len(image.content) // _BLOCK) * _BLOCK


def write_index(
    folder: Path,
    shards: Sequence[np.ndarray],
    names: Iterable[str],
    unreadable: Sequence[tuple[str, str]],
    storage: Storage,
) -> None:
    """Writes the index of a pack, whose head is written last.

    Args:
        folder: Folder of the shards.
        shards: Records of each shard, as returned by `write_shard`.
        names: Names of all images relative to the source folder.
        unreadable: Name and reason of each image that cannot be decoded.
        storage: How the images are stored.
    """
    records = np.concatenate(shards)
    records['shard'] = np.repeat(np.arange(len(shards)), [len(some) for some in shards])
    with writing_stream(folder / NAMES) as stream:
        lengths = [stream.write(name.encode('utf-8', 'surrogatepass')) for name in names]
    records['name_end'] = np.cumsum(lengths)
    with writing_stream(folder / RECORDS) as stream:
        stream.write(records.tobytes())
    write_text(folder / UNREADABLE, ''.join(f'{_line(name)}\t{_line(reason)}\n' for name, reason in unreadable))
    settings, digest = storage._asdict(), names_digest(folder, records['name_end'])
    head = dict(
        format=FORMAT,
        version=VERSION,
        settings=settings,
        images=len(records),
        unreadable=len(unreadable),
        shards=[(folder / shard_name(number)).stat().st_size for number in range(len(shards))],
        names_digest=digest,
        digest=index_digest(folder, digest, settings),
    )
    write_json(folder / HEAD, head, indent=1)


def _line(text: str) -> str:
    return ' '.join(text.encode(errors='replace').decode().split())
