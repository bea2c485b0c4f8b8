"""Forked processes for the tests of folders: cheap, and killed like any other."""

import os
import signal
import time
from contextlib import contextmanager


def fork(call) -> int:
    """Runs a function in a child that never returns; its exit code is 0 if the function ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            call()
            code = 0
        finally:
            os._exit(code)
    return child


@contextmanager
def in_another_process(call, ready):
    """A child that has called a function and lives on; it is killed by SIGKILL afterwards."""

    def stay():
        call()
        ready.touch()
        time.sleep(60)

    child = fork(stay)
    try:
        while not ready.exists():
            time.sleep(0.01)
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
