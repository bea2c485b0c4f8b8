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

from .errors import MissingFile, UserError, one_line, shown
from .files import check_regular, write_bytes

_RECONSTRUCT, _, _ = np.zeros(1).__reduce__()
_SCALAR, _ = np.float64(0).__reduce__()
_RESUMABLE_KEYS = ('meta', 'state_dict', 'message_hub', 'optimizer')
_MOST_ITERATIONS = 10**12
# File of a work dir that says which run began last in it, as `meta.record` of its checkpoints does.
RUN_NAME = 'current_run'


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
        """Writes bytes; see ``write_bytes``."""
        write_bytes(filepath, obj)

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
    """The checkpoint that is furthest in a run, is whole and holds all that a resume needs.

    Iterations decide, because a clock can be set back. Where several runs saved into the folder, the one that began
    last has the first word (``RUN_NAME``). Whatever else is called ``*.pth`` is named in the log and passed over.

    Args:
        work_dir: Folder of the run.

    Returns:
        Path of the checkpoint, or None if there is none.
    """
    current, saved = _current_run(work_dir), []
    for path in sorted(glob(osp.join(escape(work_dir), '*.pth'))):
        try:
            check_regular(path, 'checkpoint')
            checkpoint = read_checkpoint(path, mmap=True)
            if isinstance(checkpoint, dict) and 'meta' not in checkpoint:
                # Bare weights, which somebody put there for another purpose.
                continue
            lack = _lack(checkpoint)
        except ValueError as error:
            lack = str(error)
        if lack:
            _pass_over(path, lack)
            continue
        meta = checkpoint['meta']
        record = meta.get('record')
        belongs = isinstance(record, dict) and current is not None and record.get('run') == current
        when = meta.get('saved_at')
        saved.append((belongs, meta['iter'], when if isinstance(when, float) else osp.getmtime(path), path))
    for belongs, _, _, path in sorted(saved, reverse=True):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            if archive.testzip() is None:
                if current is not None and not belongs:
                    print_log(f'{path!r} is of an earlier run: the last one in this folder left no checkpoint.',
                              'current', logging.WARNING)
                return path
        _pass_over(path, 'its checksums do not match')
    return None


def read_resumable(filename: str, allow_pickle: bool = False) -> dict[str, Any]:
    """Reads a checkpoint that was named to be resumed, its tensors left on disk where that is possible.

    Raises:
        UserError: It holds less than a resume needs, or see ``read_checkpoint``.
    """
    checkpoint = read_checkpoint(filename, allow_pickle=allow_pickle, mmap=not allow_pickle)
    lack = _lack(checkpoint)
    if lack:
        raise UserError(f'{filename!r} cannot be resumed: {lack}. Start anew from its weights (load_from, no '
                        '--resume), or name another checkpoint.')
    return checkpoint


def _lack(checkpoint: Any) -> str | None:
    """What keeps a checkpoint from being resumed; None if nothing does."""
    if not isinstance(checkpoint, dict):
        return f'it holds a {type(checkpoint).__name__}'
    for key in _RESUMABLE_KEYS:
        if not isinstance(checkpoint.get(key), dict):
            return f'it has no {key}' if key not in checkpoint else f'its {key} is no dict'
    meta = checkpoint['meta']
    for key in ('iter', 'epoch'):
        if type(meta.get(key)) is not int or not 0 <= meta[key] < _MOST_ITERATIONS:
            return f'its meta.{key} is {shown(meta.get(key))}'
    if not isinstance(meta.get('seed', 0), int):
        return f'its meta.seed is {shown(meta["seed"])}'
    return None


def _current_run(work_dir: str) -> str | None:
    path = osp.join(work_dir, RUN_NAME)
    try:
        check_regular(path, 'name of a run')
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(200).strip() or None
    except OSError:
        return None


def _pass_over(path: str, reason: str) -> None:
    print_log(one_line(f'Resume passes over {path!r}: {reason}'), 'current', logging.WARNING)


def _looks_like_a_checkpoint(filename: str) -> bool:
    with open(filename, 'rb') as file:
        start = file.read(2)
    return zipfile.is_zipfile(filename) or start[:1] == b'\x80'


def _refusal(name: str, error: BaseException | None) -> str:
    reason = str(error).replace('WeightsUnpickler error:', '').strip()
    what = next((line.strip() for line in reason.splitlines() if 'nsupported' in line), 'a pickle')
    return (f'{name} holds more than weights ({what[:160]}) and loading it could run code in it; '
            'if you trust its origin, set the config key allow_pickle_checkpoint=True.')
