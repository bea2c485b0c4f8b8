"""Long lists of names in a file that all processes of a run share.

The file has the names first, because their number is known last:

    magic     8 bytes  b'mmdnames'
    names     UTF-8, one after the other without separators; surrogates, which stand for the bytes of file names that
              are not UTF-8, are kept
    padding   to a multiple of 8 bytes
    starts    uint64, little endian, (n + 1,) byte i of the names is the first of name i; the last is the end

Names are read with `os.pread`. A memory map would be as fast, but the pages that a process has touched count as its
memory, which would grow by the size of the file over an epoch, and an error of a network file system would end the
process by a signal instead of an exception.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, overload

import numpy as np

from mmdecouple.utils.errors import UserError

_MAGIC = b'mmdnames'
_START = '<u8'
_BLOCK = 4096  # names that are read at once
_COPIED = 1 << 24  # bytes that are copied at once


class NameFile(Sequence[str]):
    """Names in a file, which are read when they are used.

    It takes the same memory for any number of names, in this process and in those that it starts. An object whose file
    has a path is pickled by its path, otherwise with the content of the file.

    Args:
        file: File of names, open for reading.
        count: Number of names.
        size: Length of all names in bytes.
        digest: Digest of the names and their order, in hex; see `NameWriter`.

    Raises:
        UserError: The file is not a file of `count` names with this length.
    """

    def __init__(self, file: IO[bytes], count: int, size: int, digest: str) -> None:
        self._file, self._count, self._size, self.digest = file, count, size, digest
        self._starts = _aligned(len(_MAGIC) + size)
        expected = self._starts + 8 * (count + 1)
        if os.fstat(file.fileno()).st_size != expected or self._read(len(_MAGIC), 0) != _MAGIC:
            raise self._damaged()
        if self._places(0, 0) + self._places(count, count) != [0, size]:
            raise self._damaged()

    @classmethod
    def open(cls, path: str | Path, count: int, size: int, digest: str) -> 'NameFile':
        """Opens a file of names; the arguments are those of the class.

        Raises:
            UserError: The file cannot be opened, or is not a file of such names.
        """
        try:
            return cls(open(path, 'rb', buffering=0), count, size, digest)
        except OSError as error:
            raise UserError(f'The file of names {path} cannot be opened ({error.strerror}); start again.') from error

    @classmethod
    def of(cls, names: Sequence[str]) -> 'NameFile':
        """Returns a file without a path that holds the names."""
        file = TemporaryFile()
        writer = NameWriter(file)
        writer.add(names)
        return cls(file, *writer.finish())

    @property
    def path(self) -> str | None:
        """Path of the file; None if it has none."""
        return self._file.name if isinstance(self._file.name, str) else None

    @property
    def facts(self) -> tuple[int, int, str]:
        """Number of names, their length in bytes, and their digest."""
        return self._count, self._size, self.digest

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Returns a name, or the list of names of a slice."""
        places = range(self._count)[index]
        if isinstance(places, int):
            return self._names(places, places + 1)[0]
        return [self._names(place, place + 1)[0] for place in places]

    def __iter__(self) -> Iterator[str]:
        for first in range(0, self._count, _BLOCK):
            yield from self._names(first, min(first + _BLOCK, self._count))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is not None:
            return NameFile.open, (self.path, *self.facts)
        content = self._read(os.fstat(self._file.fileno()).st_size, 0)
        return _unpickled, (content, *self.facts)

    def _names(self, first: int, end: int) -> list[str]:
        places = self._places(first, end)
        if places[-1] > self._size or places != sorted(places):
            raise self._damaged()
        data = self._read(places[-1] - places[0], len(_MAGIC) + places[0])
        try:
            return [
                data[start - places[0] : stop - places[0]].decode('utf-8', 'surrogatepass')
                for start, stop in pairwise(places)
            ]
        except UnicodeDecodeError:
            raise self._damaged() from None

    def _places(self, first: int, last: int) -> list[int]:
        """Returns the starts of the names from `first` to `last`."""
        count = last - first + 1
        return list(struct.unpack(f'<{count}Q', self._read(8 * count, self._starts + 8 * first)))

    def _read(self, length: int, place: int) -> bytes:
        try:
            data = os.pread(self._file.fileno(), length, place)
            while len(data) < length and (more := os.pread(self._file.fileno(), length - len(data), place + len(data))):
                data += more
        except OSError as error:
            raise UserError(
                f'The file of names {self.path or ""} cannot be read ({error.strerror}); start again.'
            ) from error
        if len(data) != length:
            raise self._damaged()
        return data

    def _damaged(self) -> UserError:
        return UserError(f'The file of names {self.path or "of this process"} is damaged; remove it and start again.')


class NameWriter:
    """Writes names to a file as they become known.

    Args:
        file: Empty file, open for writing and reading.

    Attributes:
        count: Number of names written so far.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.count = 0
        folder = os.path.dirname(file.name) if isinstance(file.name, str) else None
        self._file, self._starts = file, TemporaryFile(dir=folder)
        self._size = 0
        self._of_names, self._of_starts = hashlib.sha256(), hashlib.sha256()
        file.write(_MAGIC)
        self._starts.write(bytes(8))

    def add(self, names: Sequence[str]) -> None:
        """Appends names."""
        encoded = [name.encode('utf-8', 'surrogatepass') for name in names]
        data = b''.join(encoded)
        ends = self._size + np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        starts = ends.astype(_START).tobytes()
        self._file.write(data)
        self._starts.write(starts)
        self._of_names.update(data)
        self._of_starts.update(starts)
        self.count += len(names)
        self._size += len(data)

    def finish(self) -> tuple[int, int, str]:
        """Completes the file.

        Returns:
            Number of names, their length in bytes, and the first 16 hex digits of a SHA-256 of the names and starts.
        """
        self._file.write(bytes(_aligned(len(_MAGIC) + self._size) - len(_MAGIC) - self._size))
        self._starts.seek(0)
        while data := self._starts.read(_COPIED):
            self._file.write(data)
        self._starts.close()
        self._file.flush()
        self._of_names.update(self._of_starts.digest())
        return self.count, self._size, self._of_names.hexdigest()[:16]


def _unpickled(content: bytes, count: int, size: int, digest: str) -> NameFile:
    file = TemporaryFile()
    file.write(content)
    file.flush()
    return NameFile(file, count, size, digest)


def _aligned(place: int) -> int:
    return -(-place // 8) * 8
