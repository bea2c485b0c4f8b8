"""Child processes, several at a time, with one progress display and a common clean stop."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rich.console import Console

from mmdecouple.utils.errors import PREFIX
from mmdecouple.utils.progress import State, bars_on, read_line

from .job_display import Display, Overview
from .progress_hook import ASKED

_POLL_SECONDS = 0.25
_STOP_SECONDS = 90
_TAIL_LINES = 15
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
# Loaded here, because a child process must not load libraries between fork and exec.
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None


class JobFailed(RuntimeError):
    """A child process failed.

    Attributes:
        tail: Lines with the reason that the child printed, or else the last lines of its output.
    """

    def __init__(self, message: str, tail: Sequence[str]) -> None:
        super().__init__(message)
        self.tail = list(tail)


@dataclass
class Job:
    """Child process whose progress is shown.

    Args:
        name: Name beside its progress bar.
        command: Program and arguments.
        log: File to which the output is appended.
        after: Names of jobs that must have succeeded before this one starts.
        done: Called after the child has succeeded; an error in the call is an error of the job.
        held_files: Open files that the child inherits, together with their locks.
    """

    name: str
    command: list[str]
    log: Path
    after: Sequence[str] = ()
    done: Callable[[], None] | None = None
    held_files: Sequence[IO] = ()
    process: subprocess.Popen = field(init=False, repr=False, compare=False)
    tail: deque = field(default_factory=lambda: deque(maxlen=_TAIL_LINES), init=False)
    reasons: dict[str, None] = field(default_factory=dict, init=False)
    _output: IO = field(init=False, repr=False, compare=False)
    _rest: str = field(default='', init=False)

    def start(self, threads: int) -> None:
        """Starts the child in its own process group, so that Ctrl-C reaches only this process, which forwards it.

        On Linux, the child receives SIGTERM if this process is killed.

        Args:
            threads: Number of OpenMP and MKL threads of the child.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        env = {
            **os.environ,
            'OMP_NUM_THREADS': str(threads),
            'MKL_NUM_THREADS': str(threads),
            'PYTHONUNBUFFERED': '1',
            'COLUMNS': '160',
            ASKED: '1',
        }
        with self.log.open('ab') as sink:
            self._output = self.log.open(encoding='utf-8', errors='replace')
            self._output.seek(0, os.SEEK_END)
            self.process = subprocess.Popen(
                self.command,
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
                preexec_fn=_end_with_parent,
                pass_fds=[file.fileno() for file in self.held_files],
            )

    def news(self) -> State | None:
        """Reads the output of the child since the last call, and returns the last progress in it."""
        found = None
        *lines, self._rest = (self._rest + self._output.read()).split('\n')
        for line in lines:
            state = read_line(line)
            found = state or found
            if line.strip() and state is None:
                self.tail.append(line)
            if PREFIX in line:
                # Each of several processes may print the reason, followed by pages of a launcher.
                self.reasons[line[line.index(PREFIX) :]] = None
        return found


def run_jobs(
    title: str,
    jobs: Sequence[Job],
    slots: int,
    threads: int = 1,
    console: Console | None = None,
    keep_going: bool = False,
    overall: Overview | None = None,
) -> list[JobFailed]:
    """Runs jobs in the given order, up to `slots` at a time, and returns when all have ended.

    Ctrl-C and SIGTERM are forwarded as SIGTERM to every running child, which has time to save.

    Args:
        title: Text in front of the name of every job.
        jobs: Jobs to run; a job comes after those in its `after`.
        slots: Maximum number of children at a time, at least 1.
        threads: OpenMP threads of each child.
        console: Console of the display; None for a new one.
        keep_going: Whether to continue after a failure with the jobs that do not depend on the failed one.
        overall: Progress of a program of which these jobs are a part; it is shown instead of lines for single jobs.

    Returns:
        The failures; empty without `keep_going`.

    Raises:
        JobFailed: A child failed while `keep_going` is False; the other children were stopped.
        KeyboardInterrupt: The process was interrupted; all children have ended.
    """
    console = console or Console()
    waiting, failures, ended = list(jobs), list[JobFailed](), set[str]()
    running: dict[str, Job] = {}
    with _sigterm_as_interrupt(), bars_on(console, overall.headline if overall else None) as progress:
        display = Display(title, [job.name for job in jobs], progress, console, overall)
        try:
            while waiting or running:
                while len(running) < slots and (job := _next(waiting, ended)):
                    waiting.remove(job)
                    job.start(threads)
                    display.started(job.name, job.log)
                    running[job.name] = job
                if not running:
                    break
                time.sleep(_POLL_SECONDS)
                for job in list(running.values()):
                    code = job.process.poll()
                    if (news := job.news()) is not None:
                        display.news(job.name, news)
                    if code is None:
                        continue
                    del running[job.name]
                    failure = _failure(title, job, code)
                    if failure is None:
                        ended.add(job.name)
                        display.ended(job.name)
                    elif keep_going:
                        failures.append(failure)
                        display.say(f'{failure}')
                    else:
                        raise failure
        finally:
            stop(list(running.values()))
    return failures


def _next(waiting: Sequence[Job], ended: set[str]) -> Job | None:
    """Returns the first job whose dependencies have all ended; None if there is no such job."""
    return next((job for job in waiting if ended.issuperset(job.after)), None)


def _failure(title: str, job: Job, code: int) -> JobFailed | None:
    if code != 0:
        return JobFailed(
            f'{title} {job.name} failed with exit code {code}; whole log: {job.log}', list(job.reasons or job.tail)
        )
    try:
        if job.done is not None:
            job.done()
    except (OSError, ValueError, RuntimeError) as error:
        return JobFailed(f'{title} {job.name} failed: {error}; whole log: {job.log}', list(job.tail))
    return None


def stop(jobs: Sequence[Job]) -> None:
    """Sends SIGTERM to running children, and kills those that have not ended after 90 seconds."""
    for job in jobs:
        if job.process.poll() is None:
            job.process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for job in jobs:
        try:
            job.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            os.killpg(job.process.pid, signal.SIGKILL)
            job.process.wait()


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_DEATH_SIGNAL, signal.SIGTERM)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
