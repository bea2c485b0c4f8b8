"""Audit hook that detects what a trial starts, and what it writes outside its folder."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Paths outside its folder that any program may write to.
_HARMLESS = ('/dev/null', '/dev/shm', '/dev/tty', '/proc/self')
# Events of Python's audit hooks that start a program or connect to another machine.
STARTS = (
    'subprocess.Popen',
    'os.system',
    'os.exec',
    'os.posix_spawn',
    'os.startfile',
    'pty.spawn',
    'socket.connect',
    'socket.bind',
    'webbrowser.open',
)
# Events that change the file system -> number of their arguments that are paths.
_CHANGES = {
    'os.rename': 2,
    'os.remove': 1,
    'os.mkdir': 1,
    'os.rmdir': 1,
    'os.link': 2,
    'os.symlink': 2,
    'os.truncate': 1,
    'os.chmod': 1,
    'os.chown': 1,
    'shutil.rmtree': 1,
}


def watch(folder: Path, reached: list[str], starts: tuple[str, ...]) -> Callable[[str, tuple], None]:
    """Returns an audit hook that records what is started, and what is written outside a folder.

    Args:
        folder: Folder in which writing is allowed, absolute.
        reached: List to which violations are appended.
        starts: Events that count as violations.
    """

    def outside(path: Any) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        name = os.path.abspath(os.fsdecode(path))
        return not name.startswith((str(folder), *_HARMLESS)) and '__pycache__' not in name

    def hook(event: str, args: tuple) -> None:
        if event == 'open':
            path, mode, flags = args
            writes = any(letter in (mode or '') for letter in 'wax+') or (
                mode is None and flags is not None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if writes and outside(path):
                reached.append(f'open {path!r} to write')
        elif event in _CHANGES:
            reached.extend(f'{event} {path!r}' for path in args[: _CHANGES[event]] if outside(path))
        elif event in starts:
            reached.append(f'{event} {args!r}'[:200])

    return hook
