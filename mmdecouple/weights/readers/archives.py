"""Zip archives of `torch.save` and TorchScript; the checksum of every returned byte is verified."""

import zipfile
import zlib
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from mmdecouple.weights.content import DamagedCheckpoint

_LOCAL_HEADER = 30
# TorchScript compresses only its source text.
_SOURCE, _LARGEST_SOURCE = 'code/', 1 << 26


class Archive:
    """Open archive of torch, read as bytes.

    Args:
        file: File that is open for reading, and stays open while the archive is used.
        name: Name of the file in messages.
        mmap: Whether tensors stay on disk until they are used; their checksums are then not verified.

    Raises:
        DamagedCheckpoint: The file is not an archive of torch, is truncated, or has compressed or overlapping entries.
    """

    def __init__(self, file: BinaryIO, name: str, mmap: bool = False) -> None:
        self.name = name
        self._mapped = np.memmap(file, np.uint8, 'c') if mmap else None
        self._file = file
        self._entries = self._directory()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    @property
    def names(self) -> list[str]:
        """Names of all entries, without the top-level folder."""
        return list(self._entries)

    def read(self, name: str) -> bytes:
        """Returns the bytes of an entry.

        Raises:
            DamagedCheckpoint: The entry is missing, or its checksum does not match.
        """
        return self._bytes(name).numpy().tobytes()

    def tensor(self, name: str) -> Tensor:
        """Returns the bytes of an entry as a uint8 tensor `(size,)`, which shares memory with no other entry.

        Raises:
            DamagedCheckpoint: See `read`.
        """
        if self._mapped is None:
            return self._bytes(name)
        start, size = self._span(self._entry(name))
        return torch.from_numpy(self._mapped[start : start + size]) if size else torch.empty(0, dtype=torch.uint8)

    def verify(self, read: set[str]) -> None:
        """Verifies the checksums of all entries, apart from those in `read` and TorchScript's source."""
        for name in self._entries:
            if name not in read and not name.startswith(_SOURCE):
                self._bytes(name)

    def _directory(self) -> dict[str, zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self._file) as archive:
                listed = archive.infolist()
        except Exception as error:
            raise self._damaged(error) from error
        size = self._file.seek(0, 2)
        entries = {entry.filename.partition('/')[2]: entry for entry in listed}
        source = [entry.file_size for name, entry in entries.items() if name.startswith(_SOURCE)]
        stored = [entry for name, entry in entries.items() if not name.startswith(_SOURCE)]
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in stored) or sum(source) > _LARGEST_SOURCE:
            raise DamagedCheckpoint(
                f'{self.name!r} is a compressed archive, which torch does not write; unpack it and '
                'save it with torch.save, or name another file.'
            )
        if (
            any(entry.file_size != entry.compress_size for entry in stored)
            or sum(entry.compress_size for entry in listed) > size
        ):
            raise self._damaged('its entries overlap')
        if len(entries) < len(listed) or 'data.pkl' not in entries:
            raise self._damaged('it is not an archive of torch')
        # torch.serialization.set_crc32_options(False) writes zeros.
        self._has_checksums = any(entry.CRC for entry in listed)
        return entries

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self._entries:
            raise self._damaged(f'it lacks {name}')
        return self._entries[name]

    def _span(self, entry: zipfile.ZipInfo) -> tuple[int, int]:
        self._file.seek(entry.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b'PK\x03\x04':
            raise self._damaged(f'{entry.filename} is missing')
        return (
            entry.header_offset
            + _LOCAL_HEADER
            + int.from_bytes(header[26:28], 'little')
            + int.from_bytes(header[28:30], 'little')
        ), entry.file_size

    def _bytes(self, name: str) -> Tensor:
        entry = self._entry(name)
        start, _ = self._span(entry)
        data = torch.empty(entry.compress_size, dtype=torch.uint8)
        self._file.seek(start)
        if self._file.readinto(memoryview(data.numpy())) != entry.compress_size:
            raise self._damaged(f'{entry.filename} is cut')
        if entry.compress_type != zipfile.ZIP_STORED:
            data = self._inflated(entry, data)
        if self._has_checksums and zlib.crc32(data.numpy()) != entry.CRC:
            raise self._damaged(f'the checksum of {entry.filename} does not match')
        return data

    def _inflated(self, entry: zipfile.ZipInfo, data: Tensor) -> Tensor:
        try:
            text = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data.numpy().tobytes(), entry.file_size + 1)
        except zlib.error as error:
            raise self._damaged(error) from error
        return torch.from_numpy(np.frombuffer(text, np.uint8).copy())

    def _damaged(self, reason: object) -> DamagedCheckpoint:
        return DamagedCheckpoint(
            f'{self.name!r} is truncated or not a checkpoint ({reason}); copy it again, or name another file.'
        )
