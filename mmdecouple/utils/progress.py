"""Progress of long computations: bars on a terminal, JSON lines for a parent process elsewhere.

{"progress": "training", "done": 220, "total": 800, "seconds_left": 41.5}
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

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
        self._done: dict[str, int] = {}

    def __call__(self, title: str, done: int, total: int) -> None:
        """Reports the progress of a stage."""
        now = time.monotonic()
        if done < self._done.get(title, 0):
            # A stage of this title begins again, for another network or measure.
            del self._starts[title]
        self._done[title] = done
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
        elif done < self._progress.tasks[self._tasks[title]].completed:
            self._progress.reset(self._tasks[title])
        self._progress.update(self._tasks[title], completed=done, total=total)


class _Headed(Progress):
    """Progress bars below a line of text.

    Args:
        headline: Called for the text; None for no text.
        *columns: See `Progress`.
        **settings: See `Progress`.
    """

    def __init__(self, headline: Callable[[], str] | None, *columns: ProgressColumn, **settings: Any) -> None:
        self._headline = headline
        super().__init__(*columns, **settings)

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yields the text and the bars."""
        if self._headline is not None:
            yield Text(self._headline(), style='bold')
        yield from super().get_renderables()


def bars_on(console: Console, headline: Callable[[], str] | None = None) -> Progress:
    """Returns progress bars with steps, elapsed and remaining time; disabled if the console is not a terminal.

    Args:
        console: Console of the display.
        headline: Called for a line of text above the bars; None for no text.
    """
    columns = (
        TextColumn('{task.description}'),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
    )
    return _Headed(headline, *columns, console=console, disable=not console.is_terminal)


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


def in_words(seconds: float) -> str:
    """Returns a duration rounded for a reader, such as `about 25 min` or `about 3 h 20 min`."""
    if seconds < 90:
        return f'about {max(round(seconds, -1), 10):.0f} s'
    minutes = round(seconds / 60)
    if minutes < 90:
        return f'about {minutes} min'
    hours, minutes = divmod(10 * round(minutes / 10), 60)
    return f'about {hours} h {minutes} min' if minutes else f'about {hours} h'
