"""Checkpoints that are written whole or not at all, and read without running code in them."""
import logging
import os
import os.path as osp
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape, glob
from typing import Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner.checkpoint import _load_checkpoint

from .errors import MissingFile, UserError
from .files import writing

_RECONSTRUCT, _, _ = np.zeros(1).__reduce__()
_SCALAR, _ = np.float64(0).__reduce__()
_RESUMABLE_KEYS = {'meta', 'state_dict', 'message_hub', 'optimizer'}


def _statistic_of(owner: type, name: str) -> Any:
    """Stands in for ``getattr``, by which log curves name their own statistics.

    The real one would reach every module from a harmless object.
    """
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current', 'statistics'):
        raise pickle.UnpicklingError(f'Unsupported attribute: {owner!r}.{name}')
    return getattr(owner, name)


# What mmengine's checkpoints hold beside tensors and plain containers: arrays and log curves.
SAFE_GLOBALS = [
    _RECONSTRUCT, _SCALAR, np.ndarray, np.dtype, HistoryBuffer, (_statistic_of, 'builtins.getattr'),
    *(type(np.dtype(code)) for code in '?bBhHiIlLqQefd')
]


class UnsafeCheckpoint(UserError):
    """A checkpoint that holds more than weights and plain data."""


class DamagedCheckpoint(UserError):
    """A file that is truncated or no checkpoint."""


class AtomicLocalBackend(LocalBackend):
    """Local files whose content is replaced as a whole: a reader or a crash sees old or new."""

    def put(self, obj: bytes | memoryview, filepath: str) -> None:
        """Writes bytes: temporary file, fsync, rename, fsync of the folder."""
        folder, name = osp.split(osp.abspath(filepath))
        temporary = osp.join(folder, f'.{name}.partial')
        with writing(filepath):
            os.makedirs(folder, exist_ok=True)
            with open(temporary, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, osp.join(folder, name))
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def put_text(self, obj: str, filepath: str, encoding: str = 'utf-8') -> None:
        """Writes a text in the same way."""
        self.put(obj.encode(encoding), filepath)


register_backend('atomic', AtomicLocalBackend, force=True)


@contextmanager
def weights_only_loading() -> Iterator[None]:
    """Makes every ``torch.load`` inside refuse pickled code, whoever calls it."""
    key = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    before = os.environ.get(key)
    os.environ[key] = '1'
    try:
        with torch.serialization.safe_globals(SAFE_GLOBALS):
            yield
    except pickle.UnpicklingError as error:
        raise UnsafeCheckpoint(_refusal('a checkpoint', error)) from error
    finally:
        os.environ.pop(key)
        if before is not None:
            os.environ[key] = before


def read_checkpoint(filename: str,
                    map_location: str = 'cpu',
                    allow_pickle: bool = False,
                    mmap: bool = False) -> dict[str, Any]:
    """Reads a checkpoint without running code that is in it.

    Args:
        filename: Local path, or a URI of mmengine's ``load_checkpoint`` (``https://`` ...).
        map_location: Device of the tensors.
        allow_pickle: Whether to trust the file and unpickle whatever it holds.
        mmap: Whether to leave the tensors of a local file on disk until they are used.

    Raises:
        FileNotFoundError: If a local file does not exist.
        UnsafeCheckpoint: If it holds more than weights and ``allow_pickle`` is False.
        DamagedCheckpoint: If it is truncated or no checkpoint.
    """
    local = '://' not in filename
    if local and not osp.isfile(filename):
        raise MissingFile(f'There is no checkpoint {filename!r} (config key load_from).')
    try:
        if allow_pickle:
            return torch.load(filename, map_location, weights_only=False) if local else \
                _load_checkpoint(filename, map_location)
        with weights_only_loading():
            if local:
                return torch.load(filename, map_location, weights_only=True, mmap=mmap)
            return _load_checkpoint(filename, map_location)
    except UnsafeCheckpoint as error:
        if local and not _looks_like_a_checkpoint(filename):
            raise DamagedCheckpoint(f'{filename!r} is no checkpoint; name another file.') from error
        raise UnsafeCheckpoint(_refusal(repr(filename), error.__cause__)) from error
    except (MemoryError, torch.OutOfMemoryError):
        # A resume must not pass over a sound file for want of memory.
        raise
    except Exception as error:
        # Damaged bytes fail in any way; only errors that were meant for a reader have one to tell.
        meant = isinstance(error, (RuntimeError, EOFError, OSError, pickle.UnpicklingError))
        reason = f' ({str(error).strip().splitlines()[0]})' if meant and str(error).strip() else ''
        raise DamagedCheckpoint(
            f'{filename!r} is truncated or no checkpoint{reason}; copy it again, or name another file.') from error


def find_resumable(work_dir: str) -> str | None:
    """The most recently saved checkpoint of a run that is whole and holds all a resume needs.

    Damaged newer files are named in the log and passed over.

    Args:
        work_dir: Folder of the run.

    Returns:
        Path of the checkpoint, or None if there is none.
    """
    saved = []
    for path in glob(osp.join(escape(work_dir), '*.pth')):
        try:
            checkpoint = read_checkpoint(path, mmap=True)
        except ValueError as error:
            print_log(f'Resume passes over a checkpoint: {error}', 'current', logging.WARNING)
            continue
        if isinstance(checkpoint, dict) and _RESUMABLE_KEYS <= checkpoint.keys():
            when = checkpoint['meta'].get('saved_at', osp.getmtime(path))
            saved.append((when, checkpoint['meta']['iter'], path))
    for _, _, path in sorted(saved, reverse=True):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            if archive.testzip() is None:
                return path
        print_log(f'Resume passes over a checkpoint: the checksums of {path!r} do not match.',
                  'current', logging.WARNING)
    return None


def _looks_like_a_checkpoint(filename: str) -> bool:
    with open(filename, 'rb') as file:
        start = file.read(2)
    return zipfile.is_zipfile(filename) or start[:1] == b'\x80'


def _refusal(name: str, error: BaseException | None) -> str:
    reason = str(error).replace('WeightsUnpickler error:', '').strip()
    what = next((line.strip() for line in reason.splitlines() if 'nsupported' in line), 'a pickle')
    return (f'{name} holds more than weights ({what[:160]}) and loading it could run code in it; '
            'if you trust its origin, set the config key allow_pickle_checkpoint=True.')
