"""How far a long loop is: a bar on a terminal, plain lines in a log."""
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def shown_progress(title: str, every: float = 2.0) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to be called with (done, total).

    Args:
        title: What is counted, e.g. `images`.
        every: Seconds between two plain lines at least; the last one is always printed.
    """
    console = Console()
    if console.is_terminal:
        columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    yield partial(plain_lines(every), title)


def plain_lines(every: float = 2.0) -> Callable[[str, int, int], None]:
    """Progress as lines `TITLE 3/25`, for logs and for programs that read them.

    Args:
        every: Seconds between two lines at least; where all is done, a line is always printed.

    Returns:
        To be called with (title, done, total).
    """
    last = float('-inf')

    def show(title: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= every:
            last = time.monotonic()
            print(f'{title} {done}/{total}', flush=True)

    return show
