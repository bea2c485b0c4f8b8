"""Locks of the kernel: whoever dies lets go of them at once."""

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
    """Takes the lock of an open file, until it is closed here and in the child processes that inherited it.

    Where the file system has no locks, there is a warning and the process continues as if it had one.

    Args:
        file: Any open file.
        wait: Seconds to wait for another process at most.
        on_wait: Called once if there is one to wait for.

    Returns:
        Whether it was taken.
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
                f'{file.name}: this file system has no locks ({error.strerror}); nothing keeps a second '
                'process from writing into the same folder.',
                stacklevel=2,
            )
            return True
        if on_wait is not None:
            on_wait()
            on_wait = None
        time.sleep(min(_POLL_SECONDS, max(deadline - time.monotonic(), 0)))


@contextmanager
def alone(path: Path, busy: str, wait: float = math.inf, on_wait: Callable[[], None] | None = None) -> Iterator[IO]:
    """Holds a lock file inside the block. Given to a child process, the file is locked until that has ended, too.

    Args:
        path: The lock file; it and its folder are made, and the file stays.
        busy: What to say if another process holds it for longer than `wait`.
        wait: Seconds.
        on_wait: See `lock`.

    Raises:
        UserError: `busy`, or the file cannot be written.
    """
    check_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as file:
        if not lock(file, wait, on_wait):
            raise UserError(busy)
        yield file
