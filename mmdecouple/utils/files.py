"""Files that exist whole or not at all."""
import io
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import MissingFile, UnwritableFile, UserError, shown


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
    write_bytes(path, (json.dumps(content, indent=indent, allow_nan=False) + '\n').encode())


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


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file beside `path` and renames it, so that no reader ever sees a part of it.

    Args:
        path: target; missing folders are made.
        content: the whole file.

    Raises:
        OSError: It cannot be written.
    """
    check_writable(path)
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
        try:
            with os.fdopen(handle, 'wb') as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def check_writable(path: str | Path) -> None:
    """Refuses a file that could not be written, before anything is computed for it; makes no folder.

    Of a folder of results, check one of the files in it.

    Args:
        path: target; its folder may be missing.

    Raises:
        OSError: A folder or a device has this name, a file stands where a folder is needed, or nothing can be written
            there.
    """
    target = Path(os.path.abspath(path))
    with writing(path):
        if target.exists() and not target.is_file():
            raise IsADirectoryError('it is a folder' if target.is_dir() else 'it is no ordinary file')
        nearest = next(folder for folder in target.parents if os.path.lexists(folder))
        if not nearest.is_dir():
            raise NotADirectoryError(f'{nearest} is no folder')
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=f'.{target.name}.'):
            pass


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
