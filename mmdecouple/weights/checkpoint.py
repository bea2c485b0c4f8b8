"""Checkpoints that are written whole or not at all, and read without running code in them."""
import argparse
import logging
import os
import os.path as osp
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape, glob
from typing import Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint, load_from_http
from mmengine.utils import apply_to

from mmdecouple.utils.errors import MissingFile, UserError, one_line, shown
from mmdecouple.utils.files import check_regular, write_bytes

from .content import DamagedCheckpoint, UnsafeCheckpoint, check_content
from .readers.archives import Archive
from .readers.plain_pickles import TensorUnpickler, is_plain_pickle, statistic_of
from .readers.torchscript import is_torchscript, read_torchscript

_RECONSTRUCT, _, _ = np.zeros(1).__reduce__()
_SCALAR, _ = np.float64(0).__reduce__()
_RESUMABLE_KEYS = ('meta', 'state_dict', 'message_hub', 'optimizer')
_MOST_ITERATIONS = 10**12
# File of a work dir that says which run began last in it, as `meta.record` of its checkpoints does.
RUN_NAME = 'current_run'
# What checkpoints hold beside tensors and plain containers, for files that torch itself reads: arrays, log curves,
# and the options of a run.
SAFE_GLOBALS = [
    _RECONSTRUCT, _SCALAR, np.ndarray, np.dtype, HistoryBuffer, (statistic_of, 'builtins.getattr'), argparse.Namespace,
    *(type(np.dtype(code)) for code in '?bBhHiIlLqQefd')
]


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
    with _without_code(lambda what: _refusal('a checkpoint', what)):
        yield


@contextmanager
def _without_code(words: Callable[[str], str]) -> Iterator[None]:
    """The same; `words` makes the message from what was refused."""
    key = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    before = os.environ.get(key)
    os.environ[key] = '1'
    try:
        with torch.serialization.safe_globals(SAFE_GLOBALS):
            yield
    except pickle.UnpicklingError as error:
        reason = str(error).replace('WeightsUnpickler error:', '').strip()
        what = next((line.strip() for line in reason.splitlines() if 'nsupported' in line), 'a pickle')
        raise UnsafeCheckpoint(words(what)) from error
    finally:
        os.environ.pop(key)
        if before is not None:
            os.environ[key] = before


def read_checkpoint(filename: str,
                    map_location: str | torch.device = 'cpu',
                    allow_pickle: bool = False,
                    mmap: bool = False) -> dict[str, Any]:
    """Reads a checkpoint without running code that is in it, and refuses one that is not sound.

    Args:
        filename: Local path, or a URI of mmengine's ``load_checkpoint`` (``https://`` ...).
        map_location: Device of the tensors.
        allow_pickle: Whether to trust the file and unpickle whatever it holds. It is checked all the same, and the code
            of a TorchScript archive is not run.
        mmap: Whether to leave the tensors of a local file on disk until they are used. Their checksums and values are
            then not checked.

    Returns:
        What ``torch.save`` was given; of a TorchScript archive, the state dict.

    Raises:
        MissingFile: If a local file does not exist.
        UserError: If it is a folder, a fifo or a device.
        UnsafeCheckpoint: If it holds more than weights and ``allow_pickle`` is False.
        DamagedCheckpoint: If it is truncated or no checkpoint, a checksum does not match, or a tensor is not one of a
            sound network (``check_content``).
    """
    local = '://' not in filename
    if local:
        if not osp.lexists(filename):
            raise MissingFile(f'There is no checkpoint {filename!r} (config key load_from).')
        check_regular(filename, 'checkpoint')
    read = _read_local if local else _read_remote
    try:
        content = read(filename, allow_pickle, mmap)
    except (MissingFile, DamagedCheckpoint):
        raise
    except UnsafeCheckpoint as error:
        raise UnsafeCheckpoint(_refusal(repr(filename), str(error))) from error
    except (MemoryError, torch.OutOfMemoryError):
        # A resume must not pass over a sound file for want of memory.
        raise
    except Exception as error:
        # Damaged bytes fail in any way; only errors that were meant for a reader have one to tell.
        meant = isinstance(error, (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError))
        reason = f' ({str(error).strip().splitlines()[0]})' if meant and str(error).strip() else ''
        raise DamagedCheckpoint(
            f'{filename!r} is truncated or no checkpoint{reason}; copy it again, or name another file.') from error
    if not mmap:
        check_content(content, repr(filename))
    if isinstance(content, dict) and isinstance(content.get('meta'), dict) and not allow_pickle:
        # The config of mmengine's ancestors: a resume would execute it.
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
        raise DamagedCheckpoint(f'{filename!r} is no checkpoint; name another file.')
    if allow_pickle:
        return torch.load(filename, 'cpu', weights_only=False)
    with _without_code(str):
        return torch.load(filename, 'cpu', weights_only=True)


def _read_remote(filename: str, allow_pickle: bool, mmap: bool) -> Any:
    if allow_pickle:
        return _load_checkpoint(filename, 'cpu')
    with _without_code(str):
        return _load_checkpoint(filename, 'cpu')


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_file(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Stands in for mmengine's loader of local files, which unpickles whatever is in one that it cannot read safely.

    So every file comes through `read_checkpoint` that a runner of mmengine or a `Pretrained` of a config opens.
    """
    return read_checkpoint(filename, 'cpu' if map_location is None or callable(map_location) else map_location,
                           allow_pickle=_trust.given)


@CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), force=True)
def load_from_web(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Stands in for mmengine's loader of addresses in the same way."""
    if _trust.given:
        return load_from_http(filename, map_location)
    with _without_code(str):
        return load_from_http(filename, map_location)


def trust_pickles(trusted: bool) -> None:
    """Says for this process whether files that mmengine opens are trusted (config key allow_pickle_checkpoint)."""
    _trust.given = trusted


class _Trust:
    given = False


_trust = _Trust()


def _moved(content: Any, device: str | torch.device) -> Any:
    return apply_to(content, lambda value: isinstance(value, torch.Tensor), lambda value: value.to(device))


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
        try:
            # Now every byte and every number.
            read_checkpoint(path)
        except ValueError as error:
            _pass_over(path, str(error))
            continue
        if current is not None and not belongs:
            print_log(f'{path!r} is of an earlier run: the last one in this folder left no checkpoint.', 'current',
                      logging.WARNING)
        return path
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
    except (OSError, UserError):
        return None


def _pass_over(path: str, reason: str) -> None:
    print_log(one_line(f'Resume passes over {path!r}: {reason}'), 'current', logging.WARNING)


def _refusal(name: str, what: str) -> str:
    return (f'{name} holds more than weights ({what[:160]}) and loading it could run code in it; '
            'if you trust its origin, set the config key allow_pickle_checkpoint=True.')
