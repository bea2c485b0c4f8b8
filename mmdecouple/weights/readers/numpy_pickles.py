"""Pickled dicts of numpy arrays, the format of detectron2's weights, read without running code in them."""

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdecouple.utils.files import write_bytes
from mmdecouple.weights.content import DamagedCheckpoint, UnsafeCheckpoint, UnsafeContent

from .plain_pickles import PlainUnpickler

# The tensors of detectron2 are in the dict under `model`.
_DEPTH = 2


def read_numpy_pickle(path: str, allow_pickle: bool = False) -> dict[str, Any]:
    """Reads a pickled dict, and converts arrays in it and in its dicts to tensors.

    Args:
        path: Local file.
        allow_pickle: Whether to trust the file and unpickle all of its content.

    Raises:
        UnsafeCheckpoint: The file holds more than arrays and plain data, and `allow_pickle` is False.
        DamagedCheckpoint: The file is truncated, not a pickle or not a dict.
    """
    try:
        file = io.BytesIO(Path(path).read_bytes())
        content = (pickle.Unpickler if allow_pickle else PlainUnpickler)(file, encoding='latin1').load()
        if not isinstance(content, dict):
            raise DamagedCheckpoint(
                f'{path!r} holds a {type(content).__name__}, not a dict of weights; name another file.'
            )
        return with_tensors(content)
    except DamagedCheckpoint:
        raise
    except UnsafeContent as error:
        raise UnsafeCheckpoint(
            f'{path!r} holds more than arrays ({error}) and loading it could run code in it; if you '
            'trust its origin, allow it (tool: --allow-pickle).'
        ) from error
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedCheckpoint(
            f'{path!r} is truncated or not a pickle ({reason}); copy it again, or name another file.'
        ) from error


def write_numpy_pickle(path: str, content: dict[str, Any]) -> None:
    """Writes a dict atomically, with arrays in place of tensors, so that any version of numpy can read it.

    Args:
        path: Target, replaced if it exists.
        content: Tensors and plain data, possibly in nested dicts.
    """
    write_bytes(path, _for_any_numpy(pickle.dumps(_with_arrays(content), protocol=3)))


def with_tensors(content: dict[str, Any], depth: int = _DEPTH) -> dict[str, Any]:
    """Returns a copy of a dict in which arrays are converted to tensors.

    Args:
        content: Arrays and other values; the latter are returned unchanged.
        depth: Levels of nested dicts in which arrays are converted.
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
    """Renames modules to their names before numpy 2, which all versions of numpy accept."""
    parts, end = [], 0
    for opcode, argument, place in pickletools.genops(data):
        if opcode.name == 'GLOBAL' and argument.startswith('numpy._core.'):
            parts += [data[end:place], b'cnumpy.core.']
            end = place + len(b'cnumpy._core.')
    return b''.join([*parts, data[end:]])
