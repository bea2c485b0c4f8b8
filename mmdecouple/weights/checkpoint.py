"""Reading of checkpoints without running code in them."""

import argparse
import os
import os.path as osp
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import _load_checkpoint
from mmengine.utils import apply_to

from mmdecouple.utils.errors import MissingFile
from mmdecouple.utils.files import check_regular

from .content import DamagedCheckpoint, UnsafeCheckpoint, check_content
from .readers.archives import Archive
from .readers.plain_pickles import TensorUnpickler, is_plain_pickle, statistic_of
from .readers.torchscript import is_torchscript, read_torchscript

_RECONSTRUCT, _, _ = np.zeros(1).__reduce__()
_SCALAR, _ = np.float64(0).__reduce__()
# Classes that checkpoints hold besides tensors and plain containers, for files that torch itself reads: arrays, log
# curves, and the options of a run.
SAFE_GLOBALS = [
    _RECONSTRUCT,
    _SCALAR,
    np.ndarray,
    np.dtype,
    HistoryBuffer,
    (statistic_of, 'builtins.getattr'),
    argparse.Namespace,
    *(type(np.dtype(code)) for code in '?bBhHiIlLqQefd'),
]


@contextmanager
def weights_only_loading() -> Iterator[None]:
    """Context in which every `torch.load`, from any caller, refuses pickled code."""
    with refusing_code(lambda what: _refusal('a checkpoint', what)):
        yield


@contextmanager
def refusing_code(message: Callable[[str], str]) -> Iterator[None]:
    """Like `weights_only_loading`, with another message.

    Args:
        message: Function that maps a description of what was refused to the message of the error.

    Raises:
        UnsafeCheckpoint: A file holds more than weights.
    """
    key = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    before = os.environ.get(key)
    os.environ[key] = '1'
    try:
        with torch.serialization.safe_globals(SAFE_GLOBALS):
            yield
    except pickle.UnpicklingError as error:
        reason = str(error).replace('WeightsUnpickler error:', '').strip()
        what = next((line.strip() for line in reason.splitlines() if 'nsupported' in line), 'a pickle')
        raise UnsafeCheckpoint(message(what)) from error
    finally:
        os.environ.pop(key)
        if before is not None:
            os.environ[key] = before


def read_checkpoint(
    filename: str, map_location: str | torch.device = 'cpu', allow_pickle: bool = False, mmap: bool = False
) -> dict[str, Any]:
    """Reads and checks a checkpoint without running code in it.

    Args:
        filename: Local path, or a URI of mmengine's `load_checkpoint` (`https://` ...).
        map_location: Device of the tensors.
        allow_pickle: Whether to trust the file and unpickle all of its content. The content is checked in either case,
            and the code of a TorchScript archive is never run.
        mmap: Whether the tensors of a local file stay on disk until they are used. Their checksums and values are then
            not checked.

    Returns:
        The object that was passed to `torch.save`; for a TorchScript archive, its state dict.

    Raises:
        MissingFile: A local file does not exist.
        UserError: The path is a folder, a fifo or a device.
        UnsafeCheckpoint: The file holds more than weights and `allow_pickle` is False.
        DamagedCheckpoint: The file is truncated or not a checkpoint, a checksum does not match, or a tensor cannot
            belong to a valid network (`check_content`).
    """
    local = '://' not in filename
    if local:
        if not osp.lexists(filename):
            raise MissingFile(f'The checkpoint {filename!r} does not exist; check the path (config key load_from).')
        check_regular(filename, 'checkpoint')
    read = _read_local if local else _read_remote
    try:
        content = read(filename, allow_pickle, mmap)
    except (MissingFile, DamagedCheckpoint):
        raise
    except UnsafeCheckpoint as error:
        raise UnsafeCheckpoint(_refusal(repr(filename), str(error))) from error
    except (MemoryError, torch.OutOfMemoryError):
        # A resume must not skip a valid file because memory is short.
        raise
    except Exception as error:
        # Damaged bytes can raise any error; only those of the readers carry a useful reason.
        meant = isinstance(error, (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError))
        reason = f' ({str(error).strip().splitlines()[0]})' if meant and str(error).strip() else ''
        raise DamagedCheckpoint(
            f'{filename!r} is truncated or not a checkpoint{reason}; copy it again, or name another file.'
        ) from error
    if not mmap:
        check_content(content, repr(filename))
    if isinstance(content, dict) and isinstance(content.get('meta'), dict) and not allow_pickle:
        # Config in the style of mmcv 1.x, which a resume would execute.
        content['meta'].pop('config', None)
    return content if torch.device(map_location).type == 'cpu' else _moved(content, map_location)


def _read_local(filename: str, allow_pickle: bool, mmap: bool) -> Any:
    with open(filename, 'rb') as file:
        start = file.read(4)
    if start == b'PK\x03\x04':
        with Archive(filename, mmap) as archive:
            if is_torchscript(archive):
                return read_torchscript(archive)
            if allow_pickle:
                if not mmap:
                    archive.verify(set())
                return torch.load(filename, 'cpu', weights_only=False, mmap=mmap)
            unpickler = TensorUnpickler(archive)
            content = unpickler.load()
            if not mmap:
                archive.verify(unpickler.used)
            return content
    if start[:1] != b'\x80' or is_plain_pickle(filename):
        raise DamagedCheckpoint(f'{filename!r} is not a checkpoint; name another file.')
    if allow_pickle:
        return torch.load(filename, 'cpu', weights_only=False)
    with refusing_code(str):
        return torch.load(filename, 'cpu', weights_only=True)


def _read_remote(filename: str, allow_pickle: bool, mmap: bool) -> Any:
    if allow_pickle:
        return _load_checkpoint(filename, 'cpu')
    with refusing_code(str):
        return _load_checkpoint(filename, 'cpu')


def _moved(content: Any, device: str | torch.device) -> Any:
    return apply_to(content, lambda value: isinstance(value, torch.Tensor), lambda value: value.to(device))


def _refusal(name: str, what: str) -> str:
    return (
        f'{name} holds more than weights ({what[:160]}) and loading it could run code in it; '
        'if you trust its origin, set the config key allow_pickle_checkpoint=True.'
    )
