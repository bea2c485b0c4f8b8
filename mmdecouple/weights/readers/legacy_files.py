"""Files that `torch.save` wrote before torch 1.6: pickles in a row, then the values of the storages."""

import io
from typing import Any, BinaryIO

import torch
from torch import Tensor

from mmdecouple.utils.errors import shown

from .plain_pickles import PlainUnpickler
from .tensor_pickles import TensorUnpickler

_PROTOCOL = 1001


class _LegacyUnpickler(TensorUnpickler):
    """Unpickler that creates storages without values, which follow the pickle."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file)
        self.counts: dict[str, int] = {}
        self._left = size

    def storage(self, key: str, dtype: torch.dtype, count: Any) -> Tensor:
        """See `TensorUnpickler.storage`."""
        if not isinstance(count, int) or not 0 <= count * dtype.itemsize <= self._left:
            raise ValueError(f'a storage of {shown(count)} values exceeds the file')
        self.counts[key] = count
        self._left -= count * dtype.itemsize
        return torch.empty(count * dtype.itemsize, dtype=torch.uint8)


def read_legacy_file(file: BinaryIO) -> Any:
    """Returns the object that was passed to `torch.save`.

    Args:
        file: Open file.

    Raises:
        UnsafeContent: The file holds more than weights and plain data.
        ValueError: The file is damaged, or of a machine with another byte order.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    _, protocol, system = (PlainUnpickler(file).load() for _ in range(3))
    if protocol != _PROTOCOL or not isinstance(system, dict) or not system.get('little_endian'):
        raise ValueError(f'its protocol {shown(protocol)}, {shown(system)} is unknown')
    unpickler = _LegacyUnpickler(file, size)
    content = unpickler.load()
    keys = PlainUnpickler(file).load()
    if not isinstance(keys, list) or set(keys) != set(unpickler.counts) or len(keys) > len(set(keys)):
        raise ValueError('its list of storages does not match')
    for key in keys:
        count = int.from_bytes(file.read(8), 'little')
        values = unpickler.storages[key].numpy()
        if count != unpickler.counts[key] or file.readinto(memoryview(values)) != values.size:
            raise ValueError(f'its storage {shown(key)} is cut')
    return content
