"""The pickles of weight files, read without calling anything that a file names: tensors, arrays and plain data."""

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
# What torch's own files begin with where they are no archives, behind the two bytes of the protocol.
_TORCH = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
_NUMPY = re.compile(r'[biuf]\d{1,2}|[SU]\d{1,4}')
_EMPTY_ARRAY = ((0,), b'b')


class _Inert:
    """Stands for a class that a file names, and can do nothing."""

    def __init__(self, name: str) -> None:
        self.name = name


_ARRAY = _Inert('numpy.ndarray')


def is_plain_pickle(path: str) -> bool:
    """Whether a file was pickled by something other than torch."""
    with open(path, 'rb') as file:
        start = file.read(2 + len(_TORCH))
    return start[:1] == b'\x80' and start[2:] != _TORCH


def statistic_of(owner: Any, name: str) -> Any:
    """Stands in for `getattr`, by which log curves name their own statistics.

    The real one would reach every module from a harmless object.
    """
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnsafeCheckpoint(f'the attribute {shown(name)} of {shown(owner)}')
    return getattr(owner, name)


def _bytes_of_python_2(text: str, encoding: str) -> bytes:
    """Stands in for `codecs.encode`, which would reach every codec."""
    if encoding != 'latin1':
        raise ValueError(encoding)
    return text.encode(encoding)


def _array(kind: Any, *empty: Any) -> np.ndarray:
    # What it is made of follows as its state, in the size that the file really holds.
    if kind is not _ARRAY or empty != _EMPTY_ARRAY:
        raise UnsafeCheckpoint('an array that is no plain numpy array')
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
    """Knows arrays, log curves and plain data.

    Python's own unpickler instead of C's: what a file says of sizes and places costs that one no memory.
    """

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name; everything else is refused."""
        module = module.replace('numpy._core', 'numpy.core').replace('__builtin__', 'builtins')
        found = self.known(module, name)
        if found is None:
            raise UnsafeCheckpoint(f'{module}.{name}')
        return found

    def known(self, module: str, name: str) -> Any:
        """What stands for a name, or None."""
        return _COMMON.get((module, name))

    def get_extension(self, code: int) -> None:
        """Refuses pickle's registry of extensions, which names code by number."""
        raise UnsafeCheckpoint(f'extension {code}')


class TensorUnpickler(PlainUnpickler):
    """Knows tensors too, whose values are entries of an archive.

    Args:
        archive: It holds `data.pkl`, and `data/KEY` for every storage.
    """

    def __init__(self, archive: Archive) -> None:
        super().__init__(io.BytesIO(archive.read('data.pkl')))
        self._archive = archive
        self._storages: dict[str, Tensor] = {}
        self.used = {'data.pkl'}

    def known(self, module: str, name: str) -> Any:
        """What stands for a name, or None."""
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return _TYPES.get(name.removesuffix('Storage'))
        if module == 'torch' and name in _DTYPES:
            return _DTYPES[name]
        return _TENSORS.get((module, name)) or super().known(module, name)

    def persistent_load(self, pid: Any) -> tuple[Tensor, torch.dtype]:
        """A storage: its bytes, and the type of the values in it."""
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
        raise ValueError(
            f'a tensor of {shown(size)} with strides {shown(stride)} reaches beyond its {len(values)} values'
        )
    return values.as_strided(size, stride, offset) if 0 not in size else values.new_empty(size)


def _same(data: Any, *_: Any) -> Any:
    return data


def _of_a_type(rebuild: Callable, kind: Any, args: tuple, state: Any) -> Tensor:
    if rebuild not in (_rebuilt, _same):
        raise UnsafeCheckpoint('a tensor of a class of its own')
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
