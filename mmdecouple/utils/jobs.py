"""Child processes a few at a time, under one live progress display, stopped cleanly together."""
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import (BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn,
                           TimeElapsedColumn, TimeRemainingColumn)

_POLL_SECONDS = 0.25
_STOP_SECONDS = 90
_TAIL_LINES = 15
_PLAIN_SECONDS = 30

ReadProgress = Callable[[str], tuple[int, int] | None]


class JobFailed(RuntimeError):
    """A child ended with an error; `tail` holds the last lines it wrote."""

    def __init__(self, message: str, tail: Sequence[str]) -> None:
        super().__init__(message)
        self.tail = list(tail)


@dataclass
class Job:
    """One child process.

    Args:
        name: Shown beside its bar.
        command: Program and arguments.
        log: File that takes its output; text of an earlier start is kept.
        read_progress: Maps a line of output to (done, total), or to None if it tells neither.
    """

    name: str
    command: list[str]
    log: Path
    read_progress: ReadProgress
    process: subprocess.Popen | None = field(default=None, init=False)
    tail: deque = field(default_factory=lambda: deque(maxlen=_TAIL_LINES), init=False)
    _output: IO | None = field(default=None, init=False)
    _rest: str = field(default='', init=False)

    def start(self, threads: int) -> None:
        """Start the child in its own process group, so that Ctrl-C reaches it through us only."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'MKL_NUM_THREADS': str(threads),
               'PYTHONUNBUFFERED': '1', 'COLUMNS': '160'}
        with self.log.open('ab') as sink:
            self._output = self.log.open(encoding='utf-8', errors='replace')
            self._output.seek(0, os.SEEK_END)
            self.process = subprocess.Popen(self.command, stdout=sink, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, env=env,
                                            start_new_session=True)

    def news(self) -> tuple[int, int] | None:
        """Read what the child wrote since the last call and return the last progress in it."""
        found = None
        *lines, self._rest = (self._rest + self._output.read()).split('\n')
        for line in lines:
            if line.strip():
                self.tail.append(line)
            found = self.read_progress(line) or found
        return found


def run_jobs(title: str, jobs: Sequence[Job], slots: int, threads: int = 1,
             console: Console | None = None) -> None:
    """Run jobs, `slots` at a time in the given order, and return when all are done.

    Ctrl-C and SIGTERM are passed on as SIGTERM to every running child; they get the time to save.

    Args:
        title: What the jobs do, in front of every bar.
        jobs: Children to run.
        slots: Children at a time, at least 1.
        threads: OpenMP threads of each child.
        console: Terminal of the display.

    Raises:
        JobFailed: A child failed; the others were stopped.
        KeyboardInterrupt: After a clean stop.
    """
    console = console or Console()
    waiting, running = list(jobs), {}
    columns = (TextColumn('{task.description}'), BarColumn(bar_width=30), MofNCompleteColumn(),
               TimeElapsedColumn(), TextColumn('left'), TimeRemainingColumn())
    plain = _PlainLines(console)
    with _sigterm_as_interrupt(), Progress(*columns, console=console,
                                           disable=not console.is_terminal) as progress:
        tasks = {job.name: progress.add_task(f'{title} {job.name}', total=None, start=False)
                 for job in jobs}
        try:
            while waiting or running:
                while waiting and len(running) < slots:
                    job = waiting.pop(0)
                    job.start(threads)
                    progress.start_task(tasks[job.name])
                    running[job.name] = job
                    plain.say(f'{title} {job.name}: started, log in {job.log}')
                time.sleep(_POLL_SECONDS)
                for job in list(running.values()):
                    _advance(title, job, tasks[job.name], progress, plain, running)
        finally:
            stop(list(running.values()))


def _advance(title: str, job: Job, task: TaskID, progress: Progress, plain: '_PlainLines',
             running: dict[str, Job]) -> None:
    code = job.process.poll()
    news = job.news()
    if news is not None:
        progress.update(task, completed=news[0], total=news[1])
        plain.now_and_then(job.name, f'{title} {job.name}: {news[0]} / {news[1]}')
    if code is None:
        return
    del running[job.name]
    if code != 0:
        raise JobFailed(f'{title} {job.name} failed with exit code {code}; whole log: {job.log}',
                        job.tail)
    total = progress.tasks[task].total or 1
    progress.update(task, completed=total, total=total)
    plain.say(f'{title} {job.name}: done')


def stop(jobs: Sequence[Job]) -> None:
    """Ask running children to save and end; end those that have not after 90 seconds."""
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


class _PlainLines:
    """Progress for a log file, where a live display would be noise."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last: dict[str, float] = {}

    def say(self, line: str) -> None:
        if not self.console.is_terminal:
            self.console.print(line, highlight=False, soft_wrap=True)

    def now_and_then(self, key: str, line: str) -> None:
        if time.monotonic() - self.last.setdefault(key, time.monotonic()) >= _PLAIN_SECONDS:
            self.last[key] = time.monotonic()
            self.say(line)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
