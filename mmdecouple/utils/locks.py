"""File locks of the kernel, which are released when their process ends for any reason."""

import fcntl
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import check_writable

_POLL_SECONDS = 0.5


def lock(file: IO, wait: float = math.inf, on_wait: Callable[[], None] | None = None) -> bool:
    """Acquires the lock of an open file, until it is closed here and in the child processes that inherited it.

    On a file system without locks, the function warns and returns True.

    Args:
        file: Any open file.
        wait: Maximum time in seconds to wait for another process.
        on_wait: Called once if another process holds the lock.

    Returns:
        Whether the lock was acquired.
    """
    deadline = time.monotonic() + wait
    patient = wait == math.inf and on_wait is None
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        except OSError as error:
            warnings.warn(
                f'{file.name}: this file system has no locks ({error.strerror}); make sure that no '
                'second process writes into the same folder.',
                stacklevel=2,
            )
            return True
        if on_wait is not None:
            on_wait()
            on_wait = None
        time.sleep(min(_POLL_SECONDS, max(deadline - time.monotonic(), 0)))


@contextmanager
def alone(path: Path, busy: str, wait: float = math.inf, on_wait: Callable[[], None] | None = None) -> Iterator[IO]:
    """Holds the lock of a file inside the block, and until all child processes that inherited the file have ended.

    Args:
        path: Lock file, created with its folder if missing; the file is not removed.
        busy: Message of the error if another process holds the lock for longer than `wait`.
        wait: Maximum time to wait in seconds.
        on_wait: See `lock`.

    Yields:
        The open lock file.

    Raises:
        UserError: Another process holds the lock (`busy`), or the file cannot be written.
    """
    check_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as file:
        if not lock(file, wait, on_wait):
            raise UserError(busy)
        yield file
