"""Files of names in the user's cache folder: made by the first process, shared by all others.

For each source of names there is a small file KEY.json, which is replaced when the source changes, and a file of names
KEY-RANDOM.names, which is never changed: a run that reads an older one is not disturbed.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol

from mmengine.logging import print_log
from msgspec import DecodeError, Struct, ValidationError
from msgspec import json as strict_json

from mmdecouple.datasets.names import NameFile, NameWriter
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UnwritableFile, UserError
from mmdecouple.utils.files import check_writable, remove_leftovers, write_bytes, writing, writing_stream
from mmdecouple.utils.locks import alone
from mmdecouple.utils.progress import shown_progress

# Sources with at most this many names are read by every process, into a file without a path: it takes a moment.
LARGEST_UNSHARED = 100_000
_VERSION = 1
_QUIET = 2.0  # seconds before progress is shown
_SETTLED = 2.0  # seconds; file systems may give the same time to two changes that are this close
_KEPT = 30 * 86400.0  # seconds after which an older file of names of the same source is removed

# Size, times of change of content and of metadata in ns, inode; zeros if there is no such file, None if it had changed
# just before it was read, so that a further change could have the same time.
State = tuple[int, int, int, int]
Show = Callable[[int, int], None]


class TooMany(Exception):
    """A source has more names than the limit."""


class Reading(Struct):
    """A source that is being read.

    Attributes:
        names: Batches of names.
        states: State of every file and folder that determines the names, by path, once `names` is exhausted; empty if
            it is not known, so that the source is read at every start.
        remark: One line about what was found, once `names` is exhausted.
    """

    names: Iterator[list[str]]
    states: dict[str, State | None] = {}
    remark: str = ''


class Source(Protocol):
    """Where names come from.

    Attributes:
        key: Plain values that identify the source, but not its content.
        title: Name for progress and messages.
        unit: What `show` counts.
    """

    key: dict[str, Any]
    title: str
    unit: str

    def read(self, limit: int | None, show: Show) -> Reading:
        """Starts to read the names.

        Args:
            limit: Number of names above which `TooMany` may be raised; None for no limit.
            show: Called with what is done and the total, in `unit`.
        """


class _Kept(Struct):
    """Content of KEY.json."""

    version: int
    source: dict[str, Any]
    file: str
    count: int
    size: int
    digest: str
    states: dict[str, State | None]
    remark: str


def cache_folder() -> Path:
    """Returns the folder of the files of names.

    It is `lists` in the folder that the environment variable `MMDECOUPLE_CACHE` names, by default in
    `$XDG_CACHE_HOME/mmdecouple` or `~/.cache/mmdecouple`.
    """
    general = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(os.environ.get('MMDECOUPLE_CACHE') or os.path.join(general, 'mmdecouple'), 'lists')


def state_of(path: str) -> State | None:
    """Returns the state of a file or folder, before it is read; see `State`."""
    state = _state(path)
    return None if max(state[1:3]) > (time.time() - _SETTLED) * 1e9 else state


def open_names(source: Source) -> tuple[NameFile, str]:
    """Returns the names of a source, and the remark of its reading.

    Up to `LARGEST_UNSHARED` names, each process reads the source. Above, the first process that holds a lock writes the
    names to the cache folder, with progress, and all others open its file. The file is used until a file or folder
    that determines the names has another size, time of change or inode; it is then written again, as it is if it is
    damaged. If the cache folder cannot be written, each process reads the source, with a warning.

    Args:
        source: Source of the names.

    Raises:
        UserError: The source is invalid, or the names cannot be written to any folder.
    """
    folder, key = cache_folder(), digest_of(dict(source.key, version=_VERSION))[:24]
    found = _find(folder, key, source)
    if found is not None:
        return found
    with suppress(TooMany):
        return _read_alone(source, LARGEST_UNSHARED)
    lock = folder / f'{key}.lock'
    try:
        check_writable(lock)
    except UnwritableFile as error:
        print_log(f'Each process reads {source.title} on its own: {error} (MMDECOUPLE_CACHE).', 'current', 30)
        return _read_alone(source, None)
    waiting = f'Another process reads {source.title}; waiting for it.'
    with alone(lock, '', on_wait=lambda: print_log(waiting, 'current')):
        return _find(folder, key, source) or _read_shared(source, folder, key)


def _read_alone(source: Source, limit: int | None) -> tuple[NameFile, str]:
    with writing('a temporary file'):
        file = TemporaryFile()
        writer = NameWriter(file)
        reading = source.read(limit, lambda done, total: None)
        for names in reading.names:
            writer.add(names)
            if limit is not None and reading.states and writer.count > limit:
                raise TooMany
        return NameFile(file, *writer.finish()), reading.remark


def _read_shared(source: Source, folder: Path, key: str) -> tuple[NameFile, str]:
    remove_leftovers(folder)
    path = folder / f'{key}-{secrets.token_hex(4)}.names'
    with shown_progress(f'{source.title}: {source.unit}', _QUIET) as show, writing_stream(path) as stream:
        writer = NameWriter(stream)
        reading = source.read(None, show)
        for names in reading.names:
            writer.add(names)
        count, size, digest = writer.finish()
    earlier = _kept(folder, key)
    if earlier is not None and (earlier.count, earlier.size, earlier.digest) == (count, size, digest):
        with suppress(UserError):
            NameFile.open(folder / earlier.file, count, size, digest)
            path.unlink()
            path = folder / earlier.file
    kept = _Kept(_VERSION, source.key, path.name, count, size, digest, reading.states, reading.remark)
    write_bytes(folder / f'{key}.json', strict_json.encode(kept))
    _remove_old(folder, key, path)
    print_log(f'{count} names of {source.title} are kept in {path}.', 'current')
    return NameFile.open(path, count, size, digest), reading.remark


def _find(folder: Path, key: str, source: Source) -> tuple[NameFile, str] | None:
    """Returns what the cache folder has for a source, None if nothing or if the source has changed since."""
    kept = _kept(folder, key)
    if kept is None or kept.source != source.key or not kept.states:
        return None
    if any(state is None or _state(path) != state for path, state in kept.states.items()):
        return None
    try:
        found = NameFile.open(folder / kept.file, kept.count, kept.size, kept.digest)
    except UserError:
        return None
    with suppress(OSError):
        os.utime(folder / kept.file)
    return found, kept.remark


def _kept(folder: Path, key: str) -> _Kept | None:
    try:
        kept = strict_json.decode((folder / f'{key}.json').read_bytes(), type=_Kept)
    except (OSError, DecodeError, ValidationError, UnicodeDecodeError):
        return None
    fits = kept.version == _VERSION and kept.file.startswith(f'{key}-') and '/' not in kept.file
    return kept if fits and kept.count > 0 and kept.size >= 0 else None


def _state(path: str) -> State:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return 0, 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _remove_old(folder: Path, key: str, current: Path) -> None:
    for path in folder.glob(f'{key}-*.names'):
        with suppress(OSError):
            if path != current and time.time() - path.stat().st_mtime > _KEPT:
                path.unlink()
