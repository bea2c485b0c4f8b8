"""Atomic writing of files, and checks of paths."""

import io
import json
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .errors import MissingFile, UnwritableFile, UserError, shown

_PARTIAL = '.partial'
_ABANDONED_AFTER = 3600.0  # seconds


def write_json(path: str | Path, content: Any, indent: int | None = None) -> None:
    """Writes JSON atomically; see `write_bytes`.

    Args:
        path: Target; missing folders are created.
        content: JSON-serializable value without NaN and infinity, which JSON does not define.
        indent: Spaces of indentation; None for one line.

    Raises:
        UnwritableFile: The file cannot be written.
        ValueError: `content` contains NaN or infinity.
    """
    write_text(path, json.dumps(content, indent=indent, allow_nan=False) + '\n')


def write_text(path: str | Path, content: str) -> None:
    """Writes text atomically as UTF-8; see `write_bytes`."""
    write_bytes(path, content.encode())


def write_arrays(path: str | Path, **arrays: Any) -> Path:
    """Writes arrays atomically as one compressed .npz file; see `write_bytes`.

    Args:
        path: Target; missing folders are created.
        **arrays: Arrays, or values that numpy converts to arrays, by name.

    Returns:
        The path.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **{name: np.asarray(value) for name, value in arrays.items()})
    write_bytes(path, content.getvalue())
    return Path(path)


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Writes a file atomically: after a crash, and for any reader, it has either its old or its new content.

    The content is written to a temporary file in the same folder, which is then renamed. Its name is unique, so that
    concurrent writers do not interfere, and it is removed if writing fails; `remove_leftovers` removes the temporary
    files of killed processes.

    Args:
        path: Target; missing folders are created.
        content: Content of the file.

    Raises:
        UnwritableFile: The file cannot be written.
    """
    with writing_stream(path) as stream:
        stream.write(content)


@contextmanager
def writing_stream(path: str | Path) -> Iterator[BinaryIO]:
    """Context manager that yields a stream for the content of a file, which is written atomically as by `write_bytes`.

    The stream can be written and read anywhere. The file appears when the block ends without an error.

    Args:
        path: Target; missing folders are created.

    Raises:
        UnwritableFile: The file cannot be written.
    """
    with writing(path):
        target = _writable_target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(target.parent, target.name)
        try:
            with open(temporary, 'x+b') as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def check_writable(path: str | Path) -> None:
    """Raises an error if a file could not be written, before its content is computed; creates no folder.

    For a folder of results, check one of the files in it.

    Args:
        path: Target; its folder need not exist.

    Raises:
        UnwritableFile: The path is a folder or a device, a parent is not a folder, or the folder is not writable.
    """
    with writing(path):
        target = _writable_target(path)
        temporary = _temporary(next(folder for folder in target.parents if os.path.lexists(folder)), target.name)
        temporary.touch(exist_ok=False)
        temporary.unlink()


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Removes the temporary files that killed writers left in a folder and its direct subfolders.

    A file from this machine is removed if its process has ended, or if it has the id of this process, which then
    belonged to an earlier process. A file from another machine is removed one hour after its last change. Call this
    function before the process writes to the folder.

    Args:
        folder: Existing folder.

    Returns:
        The removed files.
    """
    removed = []
    for pattern in (f'.*{_PARTIAL}', f'*/.*{_PARTIAL}'):
        for path in Path(folder).glob(pattern):
            try:
                if path.is_symlink() or not path.is_file() or not _is_abandoned(path):
                    continue
                path.unlink()
            except OSError:
                continue
            removed.append(path)
    return removed


def host() -> str:
    """Returns the name of this machine as it appears in locks and temporary files."""
    return ''.join(letter if letter.isalnum() else '-' for letter in socket.gethostname())[:40]


def _writable_target(path: str | Path) -> Path:
    target = Path(os.path.abspath(path))
    if target.exists() and not target.is_file():
        raise IsADirectoryError('it is a folder' if target.is_dir() else 'it is not an ordinary file')
    nearest = next(folder for folder in target.parents if os.path.lexists(folder))
    if not nearest.is_dir():
        raise NotADirectoryError(f'{nearest} is not a folder')
    return target


def _temporary(folder: Path, name: str) -> Path:
    return folder / f'.{name[:100]}.{host()}.{os.getpid()}.{secrets.token_hex(4)}{_PARTIAL}'


def _is_abandoned(path: Path) -> bool:
    *_, machine, process, _, _ = ['', '', '', *path.name.split('.')]
    if machine == host() and process.isdecimal():
        return int(process) == os.getpid() or not is_running(int(process))
    return time.time() - path.stat().st_mtime > _ABANDONED_AFTER


def is_running(process: int) -> bool:
    """Returns whether a process of this machine is alive, also if it belongs to another user."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def check_regular(path: str | Path, what: str) -> None:
    """Raises an error if a path is not an ordinary file, without opening it: opening a fifo would block forever.

    Args:
        path: Local path; links are followed.
        what: Kind of file for the message, such as `checkpoint` or `annotation file`.

    Raises:
        MissingFile: The path does not exist, or it is a dangling link.
        UserError: The path is a folder, a fifo, a socket or a device.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise MissingFile(f'{what} {shown(str(path), 160)} cannot be opened ({reason}); check the path.') from error
    if not stat.S_ISREG(mode):
        kind = 'a folder' if stat.S_ISDIR(mode) else 'a device, fifo or socket'
        raise UserError(f'{what} {shown(str(path), 160)} is {kind}, not an ordinary file; name a file.')


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Context manager that converts an `OSError` into `UnwritableFile`, with one line that names path and reason.

    A `UserError` has such a line already and is not changed.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UnwritableFile(f'{path} cannot be written ({error.strerror or error}); name another place.') from error
