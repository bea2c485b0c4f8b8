"""One run writes into a folder at a time."""

import json
import os
import time
from pathlib import Path
from typing import IO

from mmdecouple.utils.errors import UserError, shown
from mmdecouple.utils.files import host, remove_leftovers

from .locks import lock

LOCK_NAME = 'run.lock'
_LONGEST = 4096  # bytes of a lock file that are read

_held: dict[str, IO[str]] = {}


class FolderInUse(UserError):
    """Another process trains in this folder."""


def hold_folder(folder: str) -> None:
    """Takes a run's folder for this process, or makes sure that it still has it.

    The lock is the kernel's (``flock`` on ``run.lock``, which names host and process), so any death of the process
    frees the folder at once; child processes do not inherit it. What killed processes left half-written is removed.
    Where the file system has no locks, there is a warning and the run continues without one.

    Args:
        folder: The work dir; it is made, if it is missing.

    Raises:
        FolderInUse: Another process holds it; host and process are named.
        UserError: Nothing can be written there.
    """
    path = Path(folder, LOCK_NAME)
    key = os.path.realpath(path)
    if key in _held:
        if _is_still(_held[key], path):
            return
        # The folder was deleted, perhaps to start anew in it: whoever took the new one has it.
        release_folder(folder)
    file = _locked(path)
    file.truncate(0)
    file.write(json.dumps(dict(host=host(), pid=os.getpid(), since=time.strftime('%Y-%m-%d %H:%M:%S'))) + '\n')
    file.flush()
    _held[key] = file
    remove_leftovers(folder)


def release_folder(folder: str) -> None:
    """Frees the folder, if this process holds it."""
    path = Path(folder, LOCK_NAME)
    file = _held.pop(os.path.realpath(path), None)
    if file is None:
        return
    if _is_still(file, path):
        # Under the lock: a rival that has opened this file finds that it is not the named one any more.
        path.unlink()
    file.close()


def _locked(path: Path) -> IO[str]:
    """The open file under an exclusive lock."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, 'r+', opener=_opened)
        except OSError as error:
            raise UserError(
                f'{path} cannot be opened ({error.strerror}), which keeps other runs out of this folder; '
                'name another work_dir.'
            ) from error
        if not lock(file, wait=0):
            owner = _owner(file)
            file.close()
            raise FolderInUse(
                f'Another run writes into {shown(str(path.parent), 100)} ({owner}). Wait for it, end it, '
                'or name another folder (--work-dir).'
            )
        if _is_still(file, path):
            return file
        file.close()


def _opened(path: str, _: int) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)


def _is_still(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def _owner(file: IO[str]) -> str:
    try:
        found = json.loads(file.read(_LONGEST))
        return f'host {found["host"]}, process {found["pid"]}, since {found["since"]}'[:150]
    except (ValueError, KeyError, TypeError):
        return f'its {LOCK_NAME} does not say which'


def _forget_in_child() -> None:
    while _held:
        _held.popitem()[1].close()


os.register_at_fork(after_in_child=_forget_in_child)
