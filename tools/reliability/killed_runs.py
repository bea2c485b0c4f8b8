"""Training runs in forks of this process, killed at their file operations."""

import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from chaos_windows import STOP_AT, Window
from file_operations import FileOperations, Kill
from folder_states import Snapshot, keep
from repeatable_runs import load_early, make_repeatable

from mmdecouple.commands.train import main
from mmdecouple.engine import PretrainRunner
from mmdecouple.runs import folder as run_folder
from mmdecouple.runs.watchdog import stop_watching

_LIMIT = 120.0  # seconds of a run
_GRACE = 30.0  # seconds between SIGTERM and SIGKILL, as in torchrun


class Run(NamedTuple):
    """Start of a run.

    Attributes:
        config: Config file.
        folder: Work dir; the output of rank R goes to FOLDER.R.txt beside it, its operations to FOLDER.R.operations.
        ranks: Number of processes, connected by gloo if there are several.
        window: Part in which operations are counted; None for none.
        kill: Operation at which a rank dies; None for none.
        kills: Operations at which forks of the only rank die, which leave it where the window begins.
        resume: Whether to pass `--resume`.
        day: Day of the run's clock.
    """

    config: Path
    folder: Path
    ranks: int
    window: Window | None = None
    kill: Kill | None = None
    kills: tuple[Kill, ...] = ()
    resume: bool = False
    day: int = 0

    def output(self, rank: int) -> Path:
        """File of the standard output and error of a rank."""
        return self.folder.with_name(f'{self.folder.name}.{rank}.txt')

    def operations(self, rank: int) -> list[str]:
        """Operations that a rank listed."""
        return self.list(rank).read_text().splitlines()

    def list(self, rank: int) -> Path:
        """File to which a rank lists its operations."""
        return self.folder.with_name(f'{self.folder.name}.{rank}.operations')

    @property
    def states(self) -> Path:
        """Folder of the states that kills left, by their digest."""
        return self.folder.with_name(f'{self.folder.name}.states')

    @property
    def deaths(self) -> Path:
        """File with one JSON line per fork that has died: kill, exit code, number of operations and state."""
        return self.folder.with_name(f'{self.folder.name}.deaths')


class Ended(NamedTuple):
    """Process that has ended.

    Attributes:
        process: Its id.
        code: Its exit code, negative for a signal; None if it was killed after the time limit.
    """

    process: int
    code: int | None


def run(start: Run) -> list[Ended]:
    """Runs `tools/train.py` in forks of this process, one per rank, and waits for their end.

    When a rank fails, the others receive SIGTERM, and SIGKILL after 30 s, as from torchrun.

    Args:
        start: What to run.

    Returns:
        How each rank ended.
    """
    port, ranks = _free_port(), []
    load_early()
    sys.stdout.flush()
    for rank in reversed(range(start.ranks)):
        process = os.fork()
        if not process:
            _become_rank(start, rank, port, ranks)
        ranks.insert(0, process)
    return _wait(ranks, _LIMIT * max(1, len(start.kills)))


def _wait(ranks: list[int], limit: float) -> list[Ended]:
    codes: dict[int, int | None] = {}
    end, failed = time.monotonic() + limit, False
    while len(codes) < len(ranks):
        for process in set(ranks) - set(codes):
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                codes[process] = os.waitstatus_to_exitcode(status)
        running = set(ranks) - set(codes)
        if not failed and any(codes.values()):
            failed, end = True, min(end, time.monotonic() + _GRACE)
            for process in running:
                os.kill(process, signal.SIGTERM)
        if time.monotonic() > end:
            for process in running:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                codes[process] = None
        time.sleep(0.005)
    return [Ended(process, codes[process]) for process in ranks]


def _become_rank(start: Run, rank: int, port: int, above: list[int]) -> NoReturn:
    code = 1
    try:
        output = os.open(start.output(rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1), os.dup2(output, 2)
        sys.stdout, sys.stderr = (open(number, 'w', buffering=1, closefd=False) for number in (1, 2))
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(start.ranks))
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        sys.argv = ['train.py', str(start.config), '--out', str(start.folder), '--device', 'cpu']
        sys.argv += ['--launcher', 'pytorch'] if start.ranks > 1 else []
        sys.argv += ['--resume'] if start.resume else []
        make_repeatable(start.day)
        if start.window is not None:
            operations = FileOperations(start.folder, start.list(rank), above)
            operations.install()
            _watch(start, rank, operations)
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _watch(start: Run, rank: int, operations: FileOperations) -> None:
    """Counts the operations of a window, dies there, and sends SIGTERM where a run has to stop."""
    called, window = PretrainRunner.call_hook, start.window
    kill = start.kill if start.kill is not None and start.kill.counted_by == rank else None

    def call_hook(runner: PretrainRunner, name: str, **kwargs: Any) -> None:
        now = name, runner.iter if name.endswith('train_iter') else -1
        if now == window.begin:
            operations.begin(_fork_for_each(start) if start.kills else kill)
        if window.stopped and now == ('before_train_iter', STOP_AT):
            os.kill(os.getpid(), signal.SIGTERM)
        called(runner, name, **kwargs)
        if now == window.end:
            operations.end()

    PretrainRunner.call_hook = call_hook
    if window.begin is None:
        operations.begin(kill)


def _fork_for_each(start: Run) -> Kill:
    """Forks this process for each kill, keeps the folder that each fork leaves, and restores it for the next.

    Returns:
        The kill, in a fork; this process ends.
    """
    # Its threads would be missing in the forks, which wait for them at their end.
    stop_watching()
    for thread in threading.enumerate():
        if thread.name == 'watchdog':
            thread.join()
    snapshot = Snapshot(start.folder, start.folder.with_name(f'{start.folder.name}.links'))
    with start.deaths.open('w') as deaths:
        for kill in start.kills:
            start.list(0).write_text('')
            # A child would release the lock of the folder; here it takes the place of its parent.
            locks = dict(run_folder._held)
            run_folder._held.clear()
            process = os.fork()
            run_folder._held.update(locks)
            if not process:
                return kill
            [ended] = _wait([process], _LIMIT)
            count = len(start.operations(0))
            state = keep(start.folder, start.states, [os.getpid(), process])
            print(json.dumps([kill, ended.code, count, state]), file=deaths, flush=True)
            snapshot.restore()
    os._exit(0)


def _free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def resumed_from(start: Run) -> int:
    """Returns the iterations of the checkpoint from which a run continued; 0 for a new run."""
    found = re.search(r'resumed epoch: \d+, iter: (\d+)', start.output(0).read_text(errors='replace'))
    return int(found[1]) if found else 0


def said(start: Run) -> Iterator[str]:
    """Yields the last line of each rank's output."""
    for rank in range(start.ranks):
        yield next(iter(start.output(rank).read_text(errors='replace').strip().splitlines()[-1:]), '')
