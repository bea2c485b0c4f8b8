"""Progress of long computations: bars on a terminal, JSON lines for a parent process elsewhere.

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
    """Progress of one stage.

    Attributes:
        title: Name of what is counted, such as `training` or `probes`.
        done: Number of steps done.
        total: Total number of steps.
        seconds_left: Estimated remaining time; None before the second report.
    """

    title: str
    done: int
    total: int
    seconds_left: float | None = None

    def line(self) -> str:
        """Returns the state as one line of JSON."""
        left = None if self.seconds_left is None else round(self.seconds_left, 1)
        return json.dumps({_KEY: self.title, 'done': self.done, 'total': self.total, 'seconds_left': left})


def read_line(line: str) -> State | None:
    """Returns the state in a line of output; None for any other line."""
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
        every: Minimum time in seconds between two lines; the last step is always printed.
        say: Called with each line.
    """

    def __init__(self, every: float = 2.0, say: Callable[[str], None] = _print) -> None:
        self._every, self._say = every, say
        self._last = float('-inf')
        self._starts: dict[str, tuple[float, int]] = {}

    def __call__(self, title: str, done: int, total: int) -> None:
        """Reports the progress of a stage."""
        now = time.monotonic()
        start, first = self._starts.setdefault(title, (now, done))
        if done == total or now - self._last >= self._every:
            self._last = now
            left = (now - start) / (done - first) * (total - done) if done > first else None
            self._say(State(title, done, total, left).line())


class Bars:
    """Draws progress as bars, one for each title.

    Args:
        progress: Result of `bars_on`. Its thread starts at the first report, so that processes can be forked before.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, title: str, done: int, total: int) -> None:
        """Reports the progress of a stage."""
        if title not in self._tasks:
            self._progress.start()
            self._tasks[title] = self._progress.add_task(title, total=total)
        self._progress.update(self._tasks[title], completed=done, total=total)


def bars_on(console: Console) -> Progress:
    """Returns progress bars with steps, elapsed and remaining time; disabled if the console is not a terminal."""
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
    """Context that yields a function to call with (title, done, total), for computations with several stages.

    Args:
        console: Console of the display; None for a new one.
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
def shown_progress(title: str, after: float = 0.0) -> Iterator[Callable[[int, int], None]]:
    """Context that yields a function to call with (done, total).

    Args:
        title: Name of what is counted, such as `images`.
        after: Time in seconds during which nothing is shown, for what is usually short.
    """
    begin = time.monotonic()
    with shown_stages() as show:

        def late(done: int, total: int) -> None:
            if time.monotonic() - begin >= after:
                show(title, done, total)

        yield late
