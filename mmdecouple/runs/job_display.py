"""Display of several child processes."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import Progress, TaskID

from mmdecouple.utils.progress import Lines, State

_PLAIN_SECONDS = 30
_FEW_JOBS = 12


class Overview(Protocol):
    """Progress of a program of which jobs are a part."""

    def update(self, share: float) -> None:
        """Reports which share of the jobs is done, in [0, 1]."""

    def headline(self) -> str:
        """Returns one line for the reader."""


class Display:
    """Display of jobs: progress bars on a terminal, lines elsewhere.

    There is one bar per job, or, with many jobs, one per running job and one for their total.

    Args:
        title: Text in front of the name of every job.
        names: Names of the jobs.
        progress: Result of `bars_on`.
        console: Console of the display.
        overall: Progress of a program of which the jobs are a part; shown instead of lines for single jobs.
    """

    def __init__(
        self, title: str, names: Sequence[str], progress: Progress, console: Console, overall: Overview | None = None
    ) -> None:
        self._title, self._progress, self._console, self._overall = title, progress, console, overall
        self._shares, self._told = dict.fromkeys(names, 0.0), float('-inf')
        self._few, self._total, self._count = len(names) <= _FEW_JOBS, len(names), 0
        self._lines: dict[str, Lines] = {}
        self._tasks: dict[str, TaskID] = {}
        if self._few:
            self._tasks = {name: progress.add_task(f'{title} {name}', total=None, start=False) for name in names}
        else:
            self._jobs = progress.add_task(f'{title}: jobs', total=self._total)

    def started(self, name: str, log: Path) -> None:
        """Shows that a job has started."""
        if self._few:
            self._progress.start_task(self._tasks[name])
        else:
            self._tasks[name] = self._progress.add_task(f'{self._title} {name}', total=None)
        self.say(f'{self._title} {name}: started, log in {log}')

    def news(self, name: str, news: State) -> None:
        """Shows the progress of a job."""
        self._progress.update(self._tasks[name], completed=news.done, total=news.total)
        if self._overall is not None:
            self._tell(self._overall, name, news.done / max(news.total, 1))
        else:
            lines = self._lines.setdefault(name, Lines(_PLAIN_SECONDS, self.say))
            lines(f'{self._title} {name}', news.done, news.total)

    def ended(self, name: str) -> None:
        """Shows that a job has ended."""
        self._count += 1
        task = self._tasks[name]
        total = self._progress.tasks[self._progress.task_ids.index(task)].total or 1
        self._progress.update(task, completed=total, total=total)
        if not self._few:
            self._progress.remove_task(task)
            self._progress.update(self._jobs, completed=self._count)
        if self._overall is not None:
            self._tell(self._overall, name, 1.0)
        self.say(f'{self._title} {name}: done' + ('' if self._few else f' ({self._count} of {self._total} jobs)'))

    def say(self, line: str) -> None:
        """Prints a line, unless the console is a terminal."""
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _tell(self, overall: Overview, name: str, share: float) -> None:
        self._shares[name] = share
        overall.update(sum(self._shares.values()) / len(self._shares))
        if time.monotonic() - self._told >= _PLAIN_SECONDS:
            self._told = time.monotonic()
            self.say(overall.headline())
