"""Packs: the images of a data set in a few large tar files, with an index for random access.

A pack of n images is a folder with these files:

    shard-000000.tar ...    the images, uncompressed; their names in the archive are their numbers (000000000.jpg, ...)
    records.npy             (n,) `RECORD`: place, checksum and size of each image, in the order of the source
    names.bin               UTF-8 names of the images relative to the source folder, one after the other
    pack.json               format, version, how the images are stored, sizes of the shards, and a digest of records,
                            names and these settings; it is written last
    unreadable_images.txt   name and reason of each image that could not be decoded, separated by a tab

Bytes do not depend on the time, the user, the machine's files or the number of processes, so that equal images give
equal packs. `tar` and `webdataset` read the shards; the names of the images are data and never name a file on disk.

Libraries for such files, compared in their versions of 2026:

- webdataset 1.0 reads shards as streams: an image cannot be read by its index, and a stream cannot be resumed at an
  image. Its module with random access, `wids`, is no longer part of it.
- litdata 0.2 and mosaicml-streaming 0.13 have random access, but draw the order of an epoch themselves, resume through
  their own loaders, and require SDKs of cloud storages. The latter requires numpy < 2.2.
- array_record 0.8 returns records by index, so that order, resume and draws stay with the sampler. Its files hold bytes
  only, without names, sizes and checksums, and no other tool reads them; its Python module is marked as experimental.

Python's `tarfile` writes the shards, and reading an image is one `pread`, which keeps all three properties.
"""

import hashlib
import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmdecouple.datasets.reading import UnreadableImage
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.files import check_regular

FORMAT, VERSION = 'mmdecouple-pack', 1
HEAD, RECORDS, NAMES, UNREADABLE = 'pack.json', 'records.npy', 'names.bin', 'unreadable_images.txt'
# Height and width are those of the upright source in pixels, 0, 0 if it cannot be decoded; `name_end` is the end of the
# name in `names.bin`.
RECORD = np.dtype(
    [
        ('offset', '<u8'),
        ('name_end', '<u8'),
        ('shard', '<u4'),
        ('size', '<u4'),
        ('crc32', '<u4'),
        ('height', '<u4'),
        ('width', '<u4'),
    ]
)
_REMEDY = 'copy the pack again, or pack the images again with tools/dataset_tools/pack.py'
_MOST_OPEN = 128
_BLOCK = 1 << 20


def shard_name(number: int) -> str:
    """Returns the file name of a shard."""
    return f'shard-{number:06d}.tar'


def index_digest(folder: Path, settings: dict[str, Any]) -> str:
    """Returns the SHA-256 of the records, the names and the settings of a pack, in hex."""
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in (RECORDS, NAMES):
        with (folder / name).open('rb') as file:
            while block := file.read(_BLOCK):
                found.update(block)
    return found.hexdigest()


class Pack:
    """A pack that is open for reading; the docstring of the module describes its files.

    Files are opened in the process that reads them, so a pack can be pickled, and shared by forked processes.

    Args:
        root: Folder of the pack.

    Attributes:
        root: Folder of the pack.
        settings: How the images are stored: `shorter_side` and `quality`, both None for unchanged files.
        digest: Digest of the index, which contains a checksum of every image; equal packs have equal digests.

    Raises:
        MissingFile: The folder, its index or a shard does not exist.
        UserError: The index is damaged or has another version, or a shard has another size.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        head = _read_head(self.root)
        self.settings, self.digest = head['settings'], head['digest']
        self._shards: list[int] = head['shards']
        self._count: int = head['images']
        self._check_index()
        self._check_shards()
        self._forget_files()

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ('_records', '_names', '_files')}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget_files()

    def name(self, index: int) -> str:
        """Returns the name of an image relative to its source folder."""
        records, names = self._index()
        start = int(records[index - 1]['name_end']) if index else 0
        return names[start : int(records[index]['name_end'])].tobytes().decode(errors='surrogateescape')

    def size(self, index: int) -> tuple[int, int]:
        """Returns height and width of the upright source of an image in pixels; 0, 0 if it cannot be decoded."""
        record = self._index()[0][index]
        return int(record['height']), int(record['width'])

    def content(self, index: int) -> bytes:
        """Returns the stored file of an image.

        Raises:
            UnreadableImage: The file is empty, because it could not be read when it was packed, or its bytes do not
                have their checksum.
            UserError: The shard is missing, or the index is damaged.
        """
        record = self._index()[0][index]
        shard, offset, size = (int(record[key]) for key in ('shard', 'offset', 'size'))
        if shard >= len(self._shards) or offset + size > self._shards[shard]:
            raise UserError(f'{shown(str(self.root / RECORDS), 120)} is damaged at image {index}; {_REMEDY}.')
        if not size:
            raise UnreadableImage('it could not be read when it was packed')
        data = os.pread(self._open(shard), size, offset)
        if zlib.crc32(data) != record['crc32']:
            raise UnreadableImage(f'its bytes in {shard_name(shard)} do not have their checksum; {_REMEDY}')
        return data

    def problems(self) -> Iterator[tuple[int, str]]:
        """Reads all images, and yields the index of each with what is wrong with its bytes; empty for nothing."""
        sizes = self._index()[0]['size']
        for index in range(len(self)):
            try:
                if sizes[index]:
                    self.content(index)
                yield index, ''
            except UnreadableImage as error:
                yield index, str(error)

    def _check_index(self) -> None:
        for name in (RECORDS, NAMES):
            check_regular(self.root / name, 'index of a pack')
        if index_digest(self.root, self.settings) != self.digest:
            raise UserError(
                f'the index ({RECORDS}, {NAMES}, {HEAD}) of the pack {shown(str(self.root), 120)} is damaged; '
                f'{_REMEDY}.'
            )

    def _check_shards(self) -> None:
        for number, size in enumerate(self._shards):
            path = self.root / shard_name(number)
            check_regular(path, 'shard of a pack')
            if (found := path.stat().st_size) != size:
                raise UserError(f'{shown(str(path), 120)} has {found} bytes instead of {size}; {_REMEDY}.')

    def _forget_files(self) -> None:
        self._records: np.ndarray | None = None
        self._names: np.ndarray | None = None
        self._files: OrderedDict[int, _OpenFile] = OrderedDict()

    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        if self._records is None or self._names is None:
            self._records = _map_records(self.root / RECORDS, self._count)
            ends = int(self._records[-1]['name_end'])
            self._names = np.memmap(self.root / NAMES, np.uint8, 'r') if ends else np.zeros(0, np.uint8)
        return self._records, self._names

    def _open(self, shard: int) -> int:
        if shard not in self._files:
            if len(self._files) >= _MOST_OPEN:
                self._files.popitem(last=False)
            self._files[shard] = _OpenFile(self.root / shard_name(shard))
        self._files.move_to_end(shard)
        return self._files[shard].descriptor


class _OpenFile:
    """A file descriptor that is closed when its last user ends."""

    def __init__(self, path: Path) -> None:
        check_regular(path, 'shard of a pack')
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, 'descriptor'):
            os.close(self.descriptor)


def _read_head(root: Path) -> dict[str, Any]:
    path = root / HEAD
    if not path.exists():
        raise MissingFile(
            f'{shown(str(root), 120)} is not a finished pack: it has no {HEAD}; make one, or complete it, with '
            'tools/dataset_tools/pack.py.'
        )
    check_regular(path, 'head of a pack')
    try:
        head = json.loads(path.read_bytes())
        kind, version = head['format'], head['version']
        if (kind, version) == (FORMAT, VERSION):
            head['settings'], head['digest'] = dict(head['settings']), str(head['digest'])
            head['shards'] = [_natural(size) for size in head['shards']]
            head['images'] = _natural(head['images'])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f'{shown(str(path), 120)} is not the head of a pack ({error}); {_REMEDY}.') from error
    if (kind, version) != (FORMAT, VERSION):
        raise UserError(
            f'{shown(str(path), 120)} has the format {shown(kind)}, version {shown(version)}; this package reads '
            f'{FORMAT!r}, version {VERSION}.'
        )
    return head


def _natural(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f'{shown(value, 20)} is not a whole number above 0')
    return value


def _map_records(path: Path, count: int) -> np.ndarray:
    try:
        records = np.load(path, mmap_mode='r', allow_pickle=False)
        if records.dtype != RECORD or records.shape != (count,):
            raise ValueError(f'it holds {records.dtype} {records.shape}')
    except (ValueError, OSError, EOFError) as error:
        reason = str(error).partition('\n')[0][:80]
        raise UserError(f'{shown(str(path), 120)} is not the index of {count} images ({reason}); {_REMEDY}.') from error
    return records
