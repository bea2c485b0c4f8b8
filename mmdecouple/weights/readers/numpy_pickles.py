"""Pickled dicts of numpy arrays, the form of detectron2's weights, read without running code in them."""

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdecouple.utils.files import write_bytes
from mmdecouple.weights.content import DamagedCheckpoint, UnsafeCheckpoint

from .plain_pickles import PlainUnpickler

# detectron2's tensors stand in the dict under `model`.
_DEPTH = 2


def read_numpy_pickle(path: str, allow_pickle: bool = False) -> dict[str, Any]:
    """Reads a pickled dict; arrays in it and in the dicts in it become tensors.

    Args:
        path: Local file.
        allow_pickle: Whether to trust the file and unpickle whatever it holds.

    Raises:
        UnsafeCheckpoint: If it holds more than arrays and plain data and `allow_pickle` is False.
        DamagedCheckpoint: If it is truncated, no pickle or no dict.
    """
    try:
        file = io.BytesIO(Path(path).read_bytes())
        content = (pickle.Unpickler if allow_pickle else PlainUnpickler)(file, encoding='latin1').load()
        if not isinstance(content, dict):
            raise DamagedCheckpoint(f'{path!r} holds a {type(content).__name__}, not a dict of weights.')
        return with_tensors(content)
    except DamagedCheckpoint:
        raise
    except UnsafeCheckpoint as error:
        raise UnsafeCheckpoint(
            f'{path!r} holds more than arrays ({error}) and loading it could run code in it; if you '
            'trust its origin, allow it (tool: --allow-pickle).'
        ) from error
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedCheckpoint(
            f'{path!r} is truncated or no pickle ({reason}); copy it again, or name another file.'
        ) from error


def write_numpy_pickle(path: str, content: dict[str, Any]) -> None:
    """Writes a dict whole or not at all, with arrays in the place of tensors; any numpy reads it.

    Args:
        path: Target, replaced if it exists.
        content: Tensors and plain data, also in dicts inside.
    """
    write_bytes(path, _for_any_numpy(pickle.dumps(_with_arrays(content), protocol=3)))


def with_tensors(content: dict[str, Any], depth: int = _DEPTH) -> dict[str, Any]:
    """Arrays in a dict and in the dicts in it as tensors.

    Args:
        content: Arrays, and anything else, which stays as it is.
        depth: How many levels of dicts are changed.
    """

    def changed(value: Any) -> Any:
        if isinstance(value, dict) and depth > 1:
            return with_tensors(value, depth - 1)
        if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
            return torch.from_numpy(np.array(value, value.dtype.newbyteorder('=')))
        return value

    return {key: changed(value) for key, value in content.items()}


def _with_arrays(content: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.numpy() if isinstance(value, Tensor) else _with_arrays(value) if isinstance(value, dict) else value
        for key, value in content.items()
    }


def _for_any_numpy(data: bytes) -> bytes:
    """Names the modules as they were called before numpy 2, which older ones know only so, and newer ones too."""
    parts, end = [], 0
    for opcode, argument, place in pickletools.genops(data):
        if opcode.name == 'GLOBAL' and argument.startswith('numpy._core.'):
            parts += [data[end:place], b'cnumpy.core.']
            end = place + len(b'cnumpy._core.')
    return b''.join([*parts, data[end:]])
