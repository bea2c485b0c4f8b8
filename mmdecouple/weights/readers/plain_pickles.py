"""Pickles with arrays and plain data, read without calling functions that a file names."""

import argparse
import pickle
import re
from collections import Counter, OrderedDict
from typing import Any, ClassVar

import numpy as np
from mmengine.logging import HistoryBuffer

from mmdecouple.utils.errors import shown
from mmdecouple.weights.content import UnsafeContent

_STATISTICS = ('min', 'max', 'mean', 'current', 'statistics')
# Start of the files that torch wrote before 1.6, after the two bytes of the protocol.
LEGACY_START = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
_NUMPY = re.compile(r'[biuf]\d{1,2}|[SU]\d{1,4}')
_EMPTY_ARRAY = ((0,), b'b')
_BYTE_ORDERS = ('<', '>', '=', '|')
_WITH_ATTRIBUTES = (OrderedDict, HistoryBuffer, argparse.Namespace)


class Inert:
    """Placeholder without behavior for a class that a file names."""

    def __init__(self, name: str) -> None:
        self.name = name


_ARRAY = Inert('numpy.ndarray')


def is_plain_pickle(path: str) -> bool:
    """Returns whether a file is a pickle that was not written by torch."""
    with open(path, 'rb') as file:
        start = file.read(2 + len(LEGACY_START))
    return start[:1] == b'\x80' and start[2:] != LEGACY_START


def statistic_of(owner: Any, name: str) -> Any:
    """Replaces `getattr`, with which log curves refer to their own statistics.

    The real `getattr` could reach every module from a harmless object.

    Raises:
        UnsafeContent: Another attribute is requested.
    """
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnsafeContent(f'the attribute {shown(name)} of {shown(owner)}')
    return getattr(owner, name)


def _bytearray(data: Any = b'', *encoding: str) -> bytearray:
    # The real `bytearray` allocates as many bytes as a number says.
    if not isinstance(data, (bytes, str)):
        raise UnsafeContent(f'a bytearray of {shown(data)}')
    return bytearray(data, *encoding)


def _bytes_of_python_2(text: str, encoding: str) -> bytes:
    """Replaces `codecs.encode`, which could reach every codec."""
    if encoding != 'latin1':
        raise ValueError(encoding)
    return text.encode(encoding)


def _array(kind: Any, *empty: Any) -> np.ndarray:
    # The content follows as the state of the array, in the size that the file really holds.
    if kind is not _ARRAY or empty != _EMPTY_ARRAY:
        raise UnsafeContent('an array that is not a plain numpy array')
    return np.empty(0)


def _dtype(code: str, *_: Any) -> np.dtype:
    if not isinstance(code, str) or _NUMPY.fullmatch(code) is None:
        raise UnsafeContent(f'an array of {shown(code)}')
    return np.dtype(code, copy=True)


def _is_plain(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in 'biufSU' and dtype.names is None


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
    ('builtins', 'bytearray'): _bytearray,
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
            UnsafeContent: The name has no replacement.
        """
        module = module.replace('numpy._core', 'numpy.core').replace('__builtin__', 'builtins')
        found = self.known(module, name)
        if found is None:
            raise UnsafeContent(f'{module}.{name}')
        return found

    def known(self, module: str, name: str) -> Any:
        """Returns the replacement of a global name; None if it has none."""
        return _COMMON.get((module, name))

    def load_build(self) -> None:
        """Restores the state of arrays and of the plain objects that files hold; see `restore`."""
        state = self.stack.pop()
        self.restore(self.stack[-1], state)

    def restore(self, value: Any, state: Any) -> None:
        """Restores the state of an object.

        Nothing else may have one: the state of a class would change it for the whole process, and that of a tensor
        could refer to memory outside its storage.

        Raises:
            UnsafeContent: The object must not have a state, or not this one.
        """
        if type(value) in _WITH_ATTRIBUTES and isinstance(state, dict):
            vars(value).update(state)
        elif isinstance(value, np.dtype) and isinstance(state, tuple) and state[1] in _BYTE_ORDERS:
            version, _, *others = value.__reduce__()[2]
            value.__setstate__((version, state[1], *others))
        elif type(value) is np.ndarray and isinstance(state, tuple) and _is_plain(state[-3]):
            value.__setstate__(state)
        else:
            raise UnsafeContent(f'a state of {shown(value)}')

    dispatch: ClassVar = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}

    def get_extension(self, code: int) -> None:
        """Refuses pickle's registry of extensions, in which numbers stand for code."""
        raise UnsafeContent(f'extension {code}')
