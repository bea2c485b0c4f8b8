"""Pickles with tensors, read without calling functions that a file names."""

import io
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, BinaryIO

import torch
from torch import Tensor

from mmdecouple.utils.compatibility import UNSIGNED_TYPES
from mmdecouple.utils.errors import shown
from mmdecouple.weights.content import UnsafeContent

from .archives import Archive
from .plain_pickles import Inert, PlainUnpickler

_TYPES = {
    'Float': torch.float32,
    'Double': torch.float64,
    'Half': torch.float16,
    'BFloat16': torch.bfloat16,
    'Long': torch.int64,
    'Int': torch.int32,
    'Short': torch.int16,
    'Char': torch.int8,
    'Byte': torch.uint8,
    'Bool': torch.bool,
    'Untyped': torch.uint8,
}
_DTYPES = {
    str(value).removeprefix('torch.'): value
    for value in (*_TYPES.values(), *UNSIGNED_TYPES, torch.float8_e4m3fn, torch.float8_e5m2)
}


class TensorUnpickler(PlainUnpickler):
    """Unpickler that also supports tensors, whose values are stored outside the pickle.

    Args:
        file: File that is positioned at the start of the pickle.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding='latin1')
        self.storages: dict[str, Tensor] = {}

    def known(self, module: str, name: str) -> Any:
        """See `PlainUnpickler.known`."""
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return _TYPES.get(name.removesuffix('Storage'))
        if module == 'torch' and name in _DTYPES:
            return _DTYPES[name]
        return _TENSORS.get((module, name)) or super().known(module, name)

    def persistent_load(self, pid: Any) -> tuple[Tensor, torch.dtype]:
        """Returns the bytes of a storage and the type of its values."""
        kind, dtype, key, _, count, *view = pid
        if kind != 'storage' or not isinstance(dtype, torch.dtype) or not isinstance(key, str) or any(view):
            raise UnsafeContent(shown(pid))
        if key not in self.storages:
            self.storages[key] = self.storage(key, dtype, count)
        return self.storages[key], dtype

    @abstractmethod
    def storage(self, key: str, dtype: torch.dtype, count: Any) -> Tensor:
        """Returns a storage as uint8 `(size,)`.

        Args:
            key: Name of the storage.
            dtype: Type of its values.
            count: Number of values that the file claims.
        """


class ArchiveUnpickler(TensorUnpickler):
    """Unpickler of an archive with `data.pkl`, and with `data/KEY` for every storage.

    Args:
        archive: Open archive.

    Attributes:
        used: Names of the entries that were read.
    """

    def __init__(self, archive: Archive) -> None:
        super().__init__(io.BytesIO(archive.read('data.pkl')))
        self._archive = archive
        self.used = {'data.pkl'}

    def storage(self, key: str, dtype: torch.dtype, count: Any) -> Tensor:
        """See `TensorUnpickler.storage`."""
        self.used.add(f'data/{key}')
        return self._archive.tensor(f'data/{key}')


def _rebuilt(
    storage: tuple[Tensor, torch.dtype],
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool = False,
    hooks: Any = None,
    dtype: torch.dtype | None = None,
    *_: Any,
) -> Tensor:
    data, kind = storage
    values = data.view(dtype or kind)
    whole = [offset, *size, *stride]
    if (
        any(not isinstance(number, int) or number < 0 for number in whole)
        or len(size) != len(stride)
        or (offset + sum((length - 1) * step for length, step in zip(size, stride)) >= len(values) and 0 not in size)
    ):
        raise ValueError(f'a tensor of {shown(size)} with strides {shown(stride)} exceeds its {len(values)} values')
    return values.as_strided(size, stride, offset) if 0 not in size else values.new_empty(size)


def _same(data: Any, *_: Any) -> Any:
    return data


def _of_a_type(rebuild: Callable, kind: Any, args: tuple, state: Any) -> Tensor:
    if rebuild not in (_rebuilt, _same):
        raise UnsafeContent('a tensor of an unknown class')
    return rebuild(*args)


_TENSORS: dict[tuple[str, str], Any] = {
    **{('torch._utils', f'_rebuild_tensor{version}'): _rebuilt for version in ('', '_v2', '_v3')},
    **{('torch._utils', f'_rebuild_parameter{end}'): _same for end in ('', '_with_state')},
    ('torch._tensor', '_rebuild_from_type_v2'): _of_a_type,
    ('torch', 'Tensor'): Inert('torch.Tensor'),
    ('torch.nn.parameter', 'Parameter'): Inert('Parameter'),
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
}
