"""Pickles of weight files with tensors, arrays and plain data, read without calling functions that a file names."""

import argparse
import io
import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

from mmdecouple.utils.errors import shown
from mmdecouple.weights.content import UnsafeCheckpoint

from .archives import Archive

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
    for value in (*_TYPES.values(), torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2)
}
_STATISTICS = ('min', 'max', 'mean', 'current', 'statistics')
# Start of torch's files that are not archives, after the two bytes of the protocol.
_TORCH = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
_NUMPY = re.compile(r'[biuf]\d{1,2}|[SU]\d{1,4}')
_EMPTY_ARRAY = ((0,), b'b')


class _Inert:
    """Placeholder without behavior for a class that a file names."""

    def __init__(self, name: str) -> None:
        self.name = name


_ARRAY = _Inert('numpy.ndarray')


def is_plain_pickle(path: str) -> bool:
    """Returns whether a file is a pickle that was not written by torch."""
    with open(path, 'rb') as file:
        start = file.read(2 + len(_TORCH))
    return start[:1] == b'\x80' and start[2:] != _TORCH


def statistic_of(owner: Any, name: str) -> Any:
    """Replaces `getattr`, with which log curves refer to their own statistics.

    The real `getattr` could reach every module from a harmless object.

    Raises:
        UnsafeCheckpoint: Another attribute is requested.
    """
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnsafeCheckpoint(f'the attribute {shown(name)} of {shown(owner)}')
    return getattr(owner, name)


def _bytes_of_python_2(text: str, encoding: str) -> bytes:
    """Replaces `codecs.encode`, which could reach every codec."""
    if encoding != 'latin1':
        raise ValueError(encoding)
    return text.encode(encoding)


def _array(kind: Any, *empty: Any) -> np.ndarray:
    # The content follows as the state of the array, in the size that the file really holds.
    if kind is not _ARRAY or empty != _EMPTY_ARRAY:
        raise UnsafeCheckpoint('an array that is not a plain numpy array')
    return np.empty(0)


def _dtype(code: str, *_: Any) -> np.dtype:
    if not isinstance(code, str) or _NUMPY.fullmatch(code) is None:
        raise UnsafeCheckpoint(f'an array of {shown(code)}')
    return np.dtype(code, copy=True)


def _scalar(dtype: np.dtype, data: Any) -> Any:
    data = data.encode('latin1') if isinstance(data, str) else data
    return np.frombuffer(data, dtype, count=1)[0]


def _from_buffer(data: Any, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order=order).copy()


_COMMON: dict[tuple[str, str], Any] = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('collections', 'Counter'): Counter,
    ('argparse', 'Namespace'): argparse.Namespace,
    ('builtins', 'set'): set,
    ('builtins', 'frozenset'): frozenset,
    ('builtins', 'bytearray'): bytearray,
    ('builtins', 'getattr'): statistic_of,
    ('_codecs', 'encode'): _bytes_of_python_2,
    ('numpy', 'ndarray'): _ARRAY,
    ('numpy', 'dtype'): _dtype,
    ('numpy.core.multiarray', '_reconstruct'): _array,
    ('numpy.core.multiarray', 'scalar'): _scalar,
    ('numpy.core.numeric', '_frombuffer'): _from_buffer,
    (HistoryBuffer.__module__, 'HistoryBuffer'): HistoryBuffer,
}


class PlainUnpickler(pickle._Unpickler):
    """Unpickler of arrays, log curves and plain data.

    It derives from the unpickler in Python instead of that in C, because sizes and positions that a file claims cannot
    make it allocate memory.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Returns the replacement of a global name.

        Raises:
            UnsafeCheckpoint: The name has no replacement.
        """
        module = module.replace('numpy._core', 'numpy.core').replace('__builtin__', 'builtins')
        found = self.known(module, name)
        if found is None:
            raise UnsafeCheckpoint(f'{module}.{name}')
        return found

    def known(self, module: str, name: str) -> Any:
        """Returns the replacement of a global name; None if it has none."""
        return _COMMON.get((module, name))

    def get_extension(self, code: int) -> None:
        """Refuses pickle's registry of extensions, in which numbers stand for code."""
        raise UnsafeCheckpoint(f'extension {code}')


class TensorUnpickler(PlainUnpickler):
    """Unpickler that also supports tensors, whose values are entries of an archive.

    Args:
        archive: Archive with `data.pkl`, and with `data/KEY` for every storage.

    Attributes:
        used: Names of the entries that were read.
    """

    def __init__(self, archive: Archive) -> None:
        super().__init__(io.BytesIO(archive.read('data.pkl')))
        self._archive = archive
        self._storages: dict[str, Tensor] = {}
        self.used = {'data.pkl'}

    def known(self, module: str, name: str) -> Any:
        """See `PlainUnpickler.known`."""
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return _TYPES.get(name.removesuffix('Storage'))
        if module == 'torch' and name in _DTYPES:
            return _DTYPES[name]
        return _TENSORS.get((module, name)) or super().known(module, name)

    def persistent_load(self, pid: Any) -> tuple[Tensor, torch.dtype]:
        """Returns the bytes of a storage and the type of its values."""
        kind, dtype, key, _, _ = pid
        if kind != 'storage' or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise UnsafeCheckpoint(shown(pid))
        if key not in self._storages:
            self._storages[key] = self._archive.tensor(f'data/{key}')
            self.used.add(f'data/{key}')
        return self._storages[key], dtype


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
        raise UnsafeCheckpoint('a tensor of an unknown class')
    return rebuild(*args)


_TENSORS: dict[tuple[str, str], Any] = {
    **{('torch._utils', f'_rebuild_tensor{version}'): _rebuilt for version in ('', '_v2', '_v3')},
    **{('torch._utils', f'_rebuild_parameter{end}'): _same for end in ('', '_with_state')},
    ('torch._tensor', '_rebuild_from_type_v2'): _of_a_type,
    ('torch', 'Tensor'): _Inert('torch.Tensor'),
    ('torch.nn.parameter', 'Parameter'): _Inert('Parameter'),
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
}
