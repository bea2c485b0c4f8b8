"""Pickled dicts of numpy arrays, the form of detectron2's weights, read without running code in them."""
import pickle
import pickletools
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdecouple.utils.checkpoint import AtomicLocalBackend, DamagedCheckpoint, UnsafeCheckpoint

_RECONSTRUCT, _, _ = np.zeros(1).__reduce__()
_SCALAR, _ = np.float64(0).__reduce__()
_FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]
# What torch's own files begin with where they are no archives, behind the two bytes of the protocol.
_TORCH = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'


def _bytes_of_python_2(text: str, encoding: str) -> bytes:
    """Stands in for `codecs.encode`, which would reach every codec."""
    if encoding != 'latin1':
        raise ValueError(encoding)
    return text.encode(encoding)


_ALLOWED = {
    ('numpy', 'ndarray'): np.ndarray, ('numpy', 'dtype'): np.dtype, ('collections', 'OrderedDict'): OrderedDict,
    ('numpy.core.multiarray', '_reconstruct'): _RECONSTRUCT, ('numpy.core.multiarray', 'scalar'): _SCALAR,
    ('numpy.core.numeric', '_frombuffer'): _FROM_BUFFER, ('_codecs', 'encode'): _bytes_of_python_2}


class _ArraysOnly(pickle.Unpickler):
    """Knows arrays, their parts, and plain data."""

    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module.replace('numpy._core', 'numpy.core'), name))
        if found is None:
            raise UnsafeCheckpoint(f'{module}.{name}')
        return found


def is_plain_pickle(path: str) -> bool:
    """Whether a file was pickled by something other than torch."""
    with open(path, 'rb') as file:
        start = file.read(2 + len(_TORCH))
    return start[:1] == b'\x80' and start[2:] != _TORCH


def read_numpy_pickle(path: str, allow_pickle: bool = False) -> dict[str, Any]:
    """Reads a pickled dict; arrays in it and in dicts inside become tensors.

    Args:
        path: Local file.
        allow_pickle: Whether to trust the file and unpickle whatever it holds.

    Raises:
        UnsafeCheckpoint: If it holds more than arrays and plain data and `allow_pickle` is False.
        DamagedCheckpoint: If it is truncated, no pickle or no dict.
    """
    try:
        with open(path, 'rb') as file:
            content = (pickle.Unpickler if allow_pickle else _ArraysOnly)(file, encoding='latin1').load()
    except UnsafeCheckpoint as error:
        raise UnsafeCheckpoint(f'{path!r} holds more than arrays ({error}) and loading it could run code in it; if you '
                               'trust its origin, allow it (tool: --allow-pickle).') from error
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedCheckpoint(
            f'{path!r} is truncated or no pickle ({reason}); copy it again, or name another file.') from error
    if not isinstance(content, dict):
        raise DamagedCheckpoint(f'{path!r} holds a {type(content).__name__}, not a dict of weights.')
    return _with_tensors(content)


def write_numpy_pickle(path: str, content: dict[str, Any]) -> None:
    """Writes a dict whole or not at all, with arrays in the place of tensors; any numpy reads it.

    Args:
        path: Target, replaced if it exists.
        content: Tensors and plain data, also in dicts inside.
    """
    AtomicLocalBackend().put(_for_any_numpy(pickle.dumps(_with_arrays(content), protocol=3)), path)


def _with_tensors(content: dict[str, Any]) -> dict[str, Any]:
    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return _with_tensors(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
            return torch.from_numpy(np.array(value, value.dtype.newbyteorder('=')))
        return value
    return {key: changed(value) for key, value in content.items()}


def _with_arrays(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value.numpy() if isinstance(value, Tensor) else _with_arrays(value) if isinstance(value, dict)
            else value for key, value in content.items()}


def _for_any_numpy(data: bytes) -> bytes:
    """Names the modules as they were called before numpy 2, which older ones know only so, and newer ones too."""
    parts, end = [], 0
    for opcode, argument, place in pickletools.genops(data):
        if opcode.name == 'GLOBAL' and argument.startswith('numpy._core.'):
            parts += [data[end:place], b'cnumpy.core.']
            end = place + len(b'cnumpy._core.')
    return b''.join([*parts, data[end:]])
