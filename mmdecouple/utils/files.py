"""Files that exist whole or not at all."""

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
from typing import Any

import numpy as np

from .errors import MissingFile, UnwritableFile, UserError, shown

_PARTIAL = '.partial'
_ABANDONED_AFTER = 3600.0  # seconds


def write_json(path: str | Path, content: Any, indent: int | None = None) -> None:
    """Writes JSON beside `path` and renames it, so that no reader ever sees a part of it.

    Args:
        path: target; missing folders are made.
        content: JSON-able, without NaN and infinity, which JSON does not know.
        indent: spaces of indentation; None for one line.

    Raises:
        OSError: It cannot be written.
        ValueError: `content` holds NaN or infinity.
    """
    write_text(path, json.dumps(content, indent=indent, allow_nan=False) + '\n')


def write_text(path: str | Path, content: str) -> None:
    """Writes a text as UTF-8; see `write_bytes`."""
    write_bytes(path, content.encode())


def write_arrays(path: str | Path, **arrays: Any) -> Path:
    """Writes arrays as one compressed .npz, whole or not at all.

    Args:
        path: target; missing folders are made.
        arrays: name -> array, or what numpy makes one of.

    Returns:
        The path.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **{name: np.asarray(value) for name, value in arrays.items()})
    write_bytes(path, content.getvalue())
    return Path(path)


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Writes a file beside `path` and renames it, so that a reader or a crash sees the old one or the new one.

    The temporary file has a name of its own, so that two writers cannot tear each other's files, and is removed at
    once if it cannot be written whole; `remove_leftovers` removes those of killed processes.

    Args:
        path: target; missing folders are made.
        content: the whole file.

    Raises:
        OSError: It cannot be written.
    """
    with writing(path):
        target = _writable_target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(target.parent, target.name)
        try:
            with open(temporary, 'xb') as stream:
                stream.write(content)
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
    """Refuses a file that could not be written, before anything is computed for it; makes no folder.

    Of a folder of results, check one of the files in it.

    Args:
        path: target; its folder may be missing.

    Raises:
        OSError: A folder or a device has this name, a file stands where a folder is needed, or nothing can be written
            there.
    """
    with writing(path):
        target = _writable_target(path)
        temporary = _temporary(next(folder for folder in target.parents if os.path.lexists(folder)), target.name)
        temporary.touch(exist_ok=False)
        temporary.unlink()


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Removes the temporary files that killed writers left in a folder and in the folders in it.

    One of this machine goes when its process is dead or has this process' own id, which is then an earlier one's; any
    other when nothing was written to it for an hour. Call it before this process writes there.

    Args:
        folder: An existing folder.

    Returns:
        The files that were removed.
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
    """Name of this machine, as locks and temporary files carry it."""
    return ''.join(letter if letter.isalnum() else '-' for letter in socket.gethostname())[:40]


def _writable_target(path: str | Path) -> Path:
    target = Path(os.path.abspath(path))
    if target.exists() and not target.is_file():
        raise IsADirectoryError('it is a folder' if target.is_dir() else 'it is no ordinary file')
    nearest = next(folder for folder in target.parents if os.path.lexists(folder))
    if not nearest.is_dir():
        raise NotADirectoryError(f'{nearest} is no folder')
    return target


def _temporary(folder: Path, name: str) -> Path:
    return folder / f'.{name[:100]}.{host()}.{os.getpid()}.{secrets.token_hex(4)}{_PARTIAL}'


def _is_abandoned(path: Path) -> bool:
    *_, machine, process, _, _ = ['', '', '', *path.name.split('.')]
    if machine == host() and process.isdecimal():
        return int(process) == os.getpid() or not is_running(int(process))
    return time.time() - path.stat().st_mtime > _ABANDONED_AFTER


def is_running(process: int) -> bool:
    """Whether a process of this machine is alive (also one of another user)."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def check_regular(path: str | Path, what: str) -> None:
    """Refuses a path to read from that is not an ordinary file, without opening it: a fifo would block for ever.

    Args:
        path: Local path; links are followed.
        what: What the file should be, for the message: `checkpoint`, `annotation file`.

    Raises:
        MissingFile: Nothing is there, or a link leads nowhere.
        UserError: A folder, a fifo, a socket or a device.
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
    """Turns an OSError inside into `UnwritableFile`, with one line that says what cannot be written and why."""
    try:
        yield
    except OSError as error:
        raise UnwritableFile(f'{path} cannot be written ({error.strerror or error}); name another place.') from error
