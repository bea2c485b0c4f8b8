"""Runs of a Python file in a fork of one process that has imported the packages: a start takes no seconds of imports.

What a start itself does is tested by those that start a Python of their own.
"""

import atexit
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

IMPORTS = (
    'mmdecouple.models',
    'mmdecouple.datasets',
    'mmdecouple.engine',
    'mmdecouple.evaluation',
    'mmdecouple.commands.train',
)


def run_file(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float, ranks: int = 1
) -> subprocess.CompletedProcess[str]:
    """Runs `python words[0] words[1:]`; returns what `subprocess.run` does with captured text.

    Args:
        words: File and its arguments.
        cwd: Folder in which it runs.
        env: Environment; `OMP_NUM_THREADS` is 1.
        timeout: Time in seconds after which it is killed.
        ranks: Number of processes, which get the environment that torchrun gives to its ranks. The first that fails
            ends the others and gives its exit status.

    Raises:
        subprocess.TimeoutExpired: It took longer than `timeout`.
    """
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ('stdout', 'stderr')]
        processes = [
            _server().Process(target=_become, args=(list(words), str(cwd), each, outputs))
            for each in _environments(env, ranks)
        ]
        for process in processes:
            process.start()
        try:
            status = _wait(processes, time.monotonic() + timeout)
        finally:
            for process in processes:
                process.kill()
                process.join()
        if status is None:
            raise subprocess.TimeoutExpired(words, timeout)
        stdout, stderr = (path.read_text(errors='replace') if path.exists() else '' for path in outputs)
        return subprocess.CompletedProcess(words, status, stdout, stderr)


def _environments(env: Mapping[str, str], ranks: int) -> list[dict[str, str]]:
    if ranks == 1:
        return [dict(env)]
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        shared = dict(env, MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free.getsockname()[1]), WORLD_SIZE=str(ranks))
    return [dict(shared, RANK=str(rank), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(ranks)) for rank in range(ranks)]


def _wait(processes: list, deadline: float) -> int | None:
    """Returns the first exit status that is not 0, 0 if all are, or None at the deadline."""
    running = {process.sentinel: process for process in processes}
    while running:
        ended = wait(running, deadline - time.monotonic())
        if not ended:
            return None
        for sentinel in ended:
            process = running.pop(sentinel)
            process.join()
            if process.exitcode:
                return process.exitcode
    return 0


@cache
def _server() -> Any:
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([*IMPORTS])
    before = os.environ.get('OMP_NUM_THREADS')
    # Read when torch is imported; threads that exist would not survive a fork.
    os.environ['OMP_NUM_THREADS'] = '1'
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ['OMP_NUM_THREADS']
        else:
            os.environ['OMP_NUM_THREADS'] = before
    return context


def _become(words: list[str], cwd: str, env: dict[str, str], outputs: list[Path]) -> None:
    for number, path in enumerate(outputs, 1):
        with path.open('ab') as file:
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv[:] = words
    sys.path[0] = str(Path(words[0]).parent)
    try:
        runpy.run_path(words[0], run_name='__main__')
    finally:
        # A child of `multiprocessing` ends without them.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
