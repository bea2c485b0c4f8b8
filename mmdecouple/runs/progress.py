"""How far a long computation is: bars on a terminal, JSON lines elsewhere, which whoever started the process reads.

{"progress": "training", "done": 220, "total": 800, "seconds_left": 41.5}
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# (title, done, total)
Show = Callable[[str, int, int], None]
_KEY = 'progress'


class State(NamedTuple):
    """How far something is.

    Attributes:
        title: What is counted, e.g. `training` or `probes`.
        done: Steps done.
        total: Steps in all.
        seconds_left: Estimate from the steps done so far; None before the second report.
    """

    title: str
    done: int
    total: int
    seconds_left: float | None = None

    def line(self) -> str:
        """As one line of JSON."""
        left = None if self.seconds_left is None else round(self.seconds_left, 1)
        return json.dumps({_KEY: self.title, 'done': self.done, 'total': self.total, 'seconds_left': left})


def read_line(line: str) -> State | None:
    """What a line of output says about progress, None if it says nothing."""
    if not line.startswith(f'{{"{_KEY}"'):
        return None
    try:
        found = json.loads(line)
        return State(found[_KEY], found['done'], found['total'], found['seconds_left'])
    except (ValueError, KeyError):
        return None


_print = partial(print, flush=True)


class Lines:
    """Prints progress as JSON lines.

    Args:
        every: Seconds between two lines at least; where all is done, a line is always printed.
        say: Takes a line.
    """

    def __init__(self, every: float = 2.0, say: Callable[[str], None] = _print) -> None:
        self._every, self._say = every, say
        self._last = float('-inf')
        self._starts: dict[str, tuple[float, int]] = {}

    def __call__(self, title: str, done: int, total: int) -> None:
        """Called with (title, done, total)."""
        now = time.monotonic()
        start, first = self._starts.setdefault(title, (now, done))
        if done == total or now - self._last >= self._every:
            self._last = now
            left = (now - start) / (done - first) * (total - done) if done > first else None
            self._say(State(title, done, total, left).line())


class Bars:
    """Draws progress as bars, one for each title.

    Args:
        progress: Of `bars_on`; it starts its thread at the first report, so that processes can be forked before.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, title: str, done: int, total: int) -> None:
        """Called with (title, done, total)."""
        if title not in self._tasks:
            self._progress.start()
            self._tasks[title] = self._progress.add_task(title, total=total)
        self._progress.update(self._tasks[title], completed=done, total=total)


def bars_on(console: Console) -> Progress:
    """Bars with steps, time and time left; nothing where the console is no terminal."""
    columns = (
        TextColumn('{task.description}'),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


@contextmanager
def shown_stages(console: Console | None = None) -> Iterator[Show]:
    """Gives a function to be called with (title, done, total), for computations of several stages.

    Args:
        console: Where it is shown; default: the terminal.
    """
    console = console or Console()
    if console.is_terminal:
        progress = bars_on(console)
        try:
            yield Bars(progress)
        finally:
            progress.stop()
    else:
        yield Lines()


@contextmanager
def shown_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to be called with (done, total).

    Args:
        title: What is counted, e.g. `images`.
    """
    with shown_stages() as show:
        yield partial(show, title)
