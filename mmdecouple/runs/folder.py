"""Exclusive use of a run folder: only one run at a time writes into it."""

import json
import os
import time
from pathlib import Path
from typing import IO

from mmdecouple.utils.errors import UserError, shown
from mmdecouple.utils.files import host, remove_leftovers
from mmdecouple.utils.locks import lock

LOCK_NAME = 'run.lock'
_LONGEST = 4096  # bytes of a lock file that are read

_held: dict[str, IO[str]] = {}


class FolderInUse(UserError):
    """Another process trains in this folder."""


def hold_folder(folder: str) -> None:
    """Acquires a run's folder for this process, or verifies that the process still holds it.

    The lock belongs to the kernel (`flock` on `run.lock`, which names host and process), so it is released when the
    process ends for any reason; child processes do not inherit it. Partially written files of killed processes are
    removed. On a file system without locks, the function warns and the run continues without a lock.

    Args:
        folder: Work dir, created if missing.

    Raises:
        FolderInUse: Another process holds the folder; the message names host and process.
        UserError: The folder cannot be written.
    """
    path = Path(folder, LOCK_NAME)
    key = os.path.realpath(path)
    if key in _held:
        if _is_still(_held[key], path):
            return
        # The folder was deleted, perhaps for a new start in it, and another process may hold the new folder.
        release_folder(folder)
    file = _locked(path)
    file.truncate(0)
    file.write(json.dumps(dict(host=host(), pid=os.getpid(), since=time.strftime('%Y-%m-%d %H:%M:%S'))) + '\n')
    file.flush()
    _held[key] = file
    remove_leftovers(folder)


def release_folder(folder: str) -> None:
    """Releases the folder if this process holds it."""
    path = Path(folder, LOCK_NAME)
    file = _held.pop(os.path.realpath(path), None)
    if file is None:
        return
    if _is_still(file, path):
        # Removed under the lock: another process that has opened this file detects that its name has changed.
        path.unlink()
    file.close()


def _locked(path: Path) -> IO[str]:
    """Returns the open file under an exclusive lock."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, 'r+', opener=_opened)
        except OSError as error:
            raise UserError(
                f'{path} cannot be opened ({error.strerror}), which keeps other runs out of this folder; '
                'choose another work_dir.'
            ) from error
        if not lock(file, wait=0):
            owner = _owner(file)
            file.close()
            raise FolderInUse(
                f'Another run writes into {shown(str(path.parent), 100)} ({owner}); wait for it, end it, '
                'or choose another folder (--out).'
            )
        if _is_still(file, path):
            return file
        file.close()


def _opened(path: str, _: int) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)


def _is_still(file: IO[str], path: Path) -> bool:
    """Returns whether an open file is the one that currently has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def _owner(file: IO[str]) -> str:
    try:
        found = json.loads(file.read(_LONGEST))
        return f'host {found["host"]}, process {found["pid"]}, since {found["since"]}'[:150]
    except (ValueError, KeyError, TypeError):
        return f'{LOCK_NAME} does not state which'


def _forget_in_child() -> None:
    while _held:
        _held.popitem()[1].close()


os.register_at_fork(after_in_child=_forget_in_child)
