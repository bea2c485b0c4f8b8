"""Reading of packs by index; `pack_format.py` describes their files."""

import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, overload

import numpy as np

from mmdecouple.datasets.pack_format import HEAD, NAMES, RECORD, RECORDS, REMEDY, index_digest, read_head, shard_name
from mmdecouple.datasets.reading import UnreadableImage
from mmdecouple.utils.errors import UserError, shown
from mmdecouple.utils.files import check_regular

_LONGEST_NAME = 1 << 16
_MOST_OPEN = 128


class Pack:
    """A pack that is open for reading; `pack_format.py` describes its files.

    Files are opened by the process that reads them and read with `os.pread`, so a pack can be pickled and shared by
    forked processes and by threads, and its memory does not grow with the number of images.

    Args:
        root: Folder of the pack.

    Attributes:
        root: Folder of the pack.
        settings: How the images are stored: `shorter_side` and `quality`, both None for unchanged files.
        digest: Digest of the index, which contains a checksum of every image; equal packs have equal digests.
        names_digest: Digest of the names and their order.

    Raises:
        MissingFile: The folder, its index or a shard does not exist.
        UserError: The index is damaged or has another version, or a shard has another size.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        head = read_head(self.root)
        self.settings, self.digest, self.names_digest = head['settings'], head['digest'], head['names_digest']
        self._shards: list[int] = head['shards']
        self._count: int = head['images']
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._check_index()
        self._check_shards()

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self), _files=OrderedDict())

    def name(self, index: int) -> str:
        """Returns the name of an image relative to its source folder."""
        start = int(self._record(index - 1)['name_end']) if index else 0
        length = int(self._record(index)['name_end']) - start
        if not 0 <= length <= _LONGEST_NAME:
            raise self._damaged(index)
        try:
            return self._read(NAMES, length, start).decode('utf-8', 'surrogatepass')
        except UnicodeDecodeError:
            raise self._damaged(index) from None

    def size(self, index: int) -> tuple[int, int]:
        """Returns height and width of the upright source of an image in pixels; 0, 0 if it cannot be decoded."""
        record = self._record(index)
        return int(record['height']), int(record['width'])

    def content(self, index: int) -> bytes:
        """Returns the stored file of an image.

        Raises:
            UnreadableImage: The file is empty, because it could not be read when it was packed, or its bytes do not
                have their checksum.
            UserError: The shard is missing, or the index is damaged.
        """
        record = self._record(index)
        shard, offset, size = (int(record[key]) for key in ('shard', 'offset', 'size'))
        if shard >= len(self._shards) or offset + size > self._shards[shard]:
            raise self._damaged(index)
        if not size:
            raise UnreadableImage('it could not be read when it was packed')
        data = self._read(shard_name(shard), size, offset)
        if zlib.crc32(data) != record['crc32']:
            raise UnreadableImage(f'its bytes in {shard_name(shard)} do not have their checksum; {REMEDY}')
        return data

    def problems(self) -> Iterator[tuple[int, str]]:
        """Reads all images, and yields the index of each with what is wrong with its bytes; empty for nothing."""
        for index in range(len(self)):
            try:
                if self._record(index)['size']:
                    self.content(index)
                yield index, ''
            except UnreadableImage as error:
                yield index, str(error)

    def _check_index(self) -> None:
        for name in (RECORDS, NAMES):
            check_regular(self.root / name, 'index of a pack')
        fits = (self.root / RECORDS).stat().st_size == self._count * RECORD.itemsize
        if not fits or index_digest(self.root, self.names_digest, self.settings) != self.digest:
            raise UserError(
                f'the index ({RECORDS}, {NAMES}, {HEAD}) of the pack {shown(str(self.root), 120)} is damaged; {REMEDY}.'
            )

    def _check_shards(self) -> None:
        for number, size in enumerate(self._shards):
            path = self.root / shard_name(number)
            check_regular(path, 'shard of a pack')
            if (found := path.stat().st_size) != size:
                raise UserError(f'{shown(str(path), 120)} has {found} bytes instead of {size}; {REMEDY}.')

    def _record(self, index: int) -> np.void:
        data = self._read(RECORDS, RECORD.itemsize, index * RECORD.itemsize)
        if len(data) < RECORD.itemsize:
            raise self._damaged(index)
        return np.frombuffer(data, RECORD)[0]

    def _read(self, name: str, length: int, place: int) -> bytes:
        # Threads may read at the same time: each holds the file that it reads, which another may drop meanwhile.
        file = self._files.pop(name, None) or _OpenFile(self.root / name)
        try:
            data = os.pread(file.descriptor, length, place)
        except OSError as error:
            raise UserError(
                f'{shown(str(self.root / name), 120)} cannot be read ({error.strerror}); {REMEDY}.'
            ) from error
        self._files[name] = file
        if len(self._files) > _MOST_OPEN:
            with suppress(KeyError):
                self._files.popitem(last=False)
        return data

    def _damaged(self, index: int) -> UserError:
        return UserError(f'{shown(str(self.root / RECORDS), 120)} is damaged at image {index}; {REMEDY}.')


class PackedPaths(Sequence[str]):
    """Paths of the images of a pack: its folder with their names, which are not files on disk.

    Args:
        pack: Pack of the images.
    """

    def __init__(self, pack: Pack) -> None:
        self._pack = pack

    @property
    def digest(self) -> str:
        """Digest of the names relative to the folder, and of their order, in hex."""
        return self._pack.names_digest

    def __len__(self) -> int:
        return len(self._pack)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Returns a path, or the list of paths of a slice."""
        places = range(len(self))[index]
        if isinstance(places, int):
            return os.path.join(self._pack.root, self._pack.name(places))
        return [os.path.join(self._pack.root, self._pack.name(place)) for place in places]


class _OpenFile:
    """A file descriptor that is closed when its last user ends."""

    def __init__(self, path: Path) -> None:
        check_regular(path, 'file of a pack')
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, 'descriptor'):
            os.close(self.descriptor)
