"""Interception of every operation with which this process changes the files of a folder.

Python's audit hooks report `open`, `os.rename` and the like, but no `write` and no `fsync`, and they report before the
operation only. Therefore `os` functions are replaced by counting ones, and `open` by `_pyio.open`, the implementation
in Python of the standard library, whose files call `os.open`, `os.write` and `os.ftruncate`: one call of `os.write` is
one system call. An audit hook counts what still bypasses these functions.
"""

import _pyio
import builtins
import io
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_WRITES = ('write', 'pwrite')
_OF_A_FILE = (*_WRITES, 'fsync', 'fdatasync', 'ftruncate')
_OF_A_PATH = ('open', 'remove', 'unlink', 'mkdir', 'rmdir', 'truncate', 'chmod', 'utime')
_OF_TWO_PATHS = ('rename', 'replace', 'link', 'symlink')
# Events of the audit hook, without those of functions that consist of others.
_EVENTS = ('open', 'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.link', 'os.symlink', 'os.truncate')
_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
MOMENTS = ('before', 'torn', 'after')


class Kill(NamedTuple):
    """Death of a process at one of its file operations.

    Attributes:
        rank: Rank of the process.
        number: Number of the operation, from 0.
        moment: `before` it, `after` it, or `torn`: within a write, of which the first half reaches the file. With
            `beside`, the operation is that of rank 0, which goes on.
    """

    rank: int
    number: int
    moment: str

    @property
    def counted_by(self) -> int:
        """Rank whose operations are counted."""
        return 0 if self.moment == 'beside' else self.rank


class FileOperations:
    """Counts the operations of this process on the files of a folder, and kills the process at one of them.

    Args:
        folder: Folder whose files count, with everything in it; absolute.
        list_to: Takes one line `NAME PATH` per operation, before it, with the process id replaced by `PID`.
        above: Process ids of the higher ranks.
    """

    def __init__(self, folder: Path, list_to: Path, above: list[int]) -> None:
        self._folder, self._above, self._kill = str(folder), above, None
        self._list = os.open(list_to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._write, self._count, self._within, self._counting = os.write, 0, False, False

    def install(self) -> None:
        """Replaces the functions of this process, for the rest of its life."""
        real_open, changing = io.open, set('wax+')

        def opened(file: Any, mode: str = 'r', *args: Any, **kwargs: Any) -> Any:
            return (_pyio.open if changing & set(mode) else real_open)(file, mode, *args, **kwargs)

        builtins.open = io.open = opened
        for name in (*_OF_A_FILE, *_OF_A_PATH, *_OF_TWO_PATHS):
            setattr(os, name, partial(self._called, name, getattr(os, name)))
        sys.addaudithook(self._audited)

    def begin(self, kill: Kill | None) -> None:
        """Begins to count, and to list.

        Args:
            kill: Operation at which the process receives SIGKILL; None to only count.
        """
        self._kill, self._count, self._counting = kill, 0, True

    def end(self) -> None:
        """Counts no longer."""
        self._counting = False

    def _called(self, name: str, call: Callable, *args: Any, **kwargs: Any) -> Any:
        path = self._path(args[name in _OF_TWO_PATHS], kwargs.get('dir_fd')) if self._counting else None
        if self._within or path is None or (name == 'open' and not args[1] & _CHANGING):
            return call(*args, **kwargs)
        moment = self._next(name, path)
        if moment == 'before':
            die()
        self._within = True
        try:
            if moment == 'torn' and name in _WRITES:
                call(args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])
                die()
            return call(*args, **kwargs)
        finally:
            self._within = False
            if moment == 'after':
                die()

    def _audited(self, event: str, args: tuple) -> None:
        if not self._counting or self._within or event not in _EVENTS:
            return
        path = self._path(args[event in ('os.rename', 'os.link', 'os.symlink')], None)
        if path is None or (event == 'open' and not (args[2] or 0) & _CHANGING):
            return
        if self._next(f'audit:{event}', path) in MOMENTS:
            die()

    def _next(self, name: str, path: str) -> str | None:
        """Lists an operation; returns the moment at which the process has to die there."""
        self._write(self._list, f'{name} {path.replace(str(os.getpid()), "PID")}\n'.encode())
        self._count += 1
        if self._kill is None or self._kill.number != self._count - 1:
            return None
        if self._kill.moment == 'beside':
            os.kill(self._above[self._kill.rank - 1], signal.SIGKILL)
        return self._kill.moment

    def _path(self, target: Any, folder: int | None) -> str | None:
        """Returns the path of a target relative to the folder; None outside of it."""
        if isinstance(target, int):
            try:
                name = os.readlink(f'/proc/self/fd/{target}')
            except OSError:
                return None
        else:
            name = os.path.join('' if folder is None else os.readlink(f'/proc/self/fd/{folder}'), os.fsdecode(target))
            name = os.path.abspath(name)
        return os.path.relpath(name, self._folder) if f'{name}/'.startswith(f'{self._folder}/') else None


def kills_of(operations: list[list[str]]) -> dict[Kill, str]:
    """Returns all ways to die at listed operations, and the line of each.

    A rank dies before and after each of its operations, and within each write; ranks other than 0 also die when rank 0
    opens, replaces or removes a file.

    Args:
        operations: Operations of each rank.
    """
    kills = {
        Kill(rank, number, moment): line
        for rank, lines in enumerate(operations)
        for number, line in enumerate(lines)
        for moment in MOMENTS
        if moment != 'torn' or line.partition(' ')[0] in _WRITES
    }
    return kills | {
        Kill(rank, number, 'beside'): line
        for rank in range(1, len(operations))
        for number, line in enumerate(operations[0])
        if line.partition(' ')[0] in ('open', 'replace', 'remove', 'unlink')
    }


def die() -> NoReturn:
    """Ends this process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError('unreachable')
