"""Parts of a run in which it is killed."""

from typing import NamedTuple

# Outcome of a resume that ends as the run that was left alone.
SAME = 'same bytes'


class Window(NamedTuple):
    """Part of a run in which it is killed.

    Attributes:
        begin: Name of the hook call and its iteration, from 0 (-1 for hooks without one), with which the window begins;
            None for the start.
        end: Hook call and iteration with which the window ends; None for the end of the process.
        stopped: Whether the run receives SIGTERM in iteration 4.
        resumed: Whether the run resumes one that was stopped.
        saved: Iterations of the checkpoint that is there when the window begins, from which, or from a later one, a
            resume has to continue: a new start would end with the same bytes.
    """

    begin: tuple[str, int] | None = None
    end: tuple[str, int] | None = None
    stopped: bool = False
    resumed: bool = False
    saved: int = 0


# Checkpoints are saved every 4 of 12 iterations, in the middle of epochs of 6, and one is kept.
ITERATIONS = 12
WINDOWS = dict(
    start=Window(end=('before_train', -1)),
    image=Window(begin=('before_train_iter', 2), end=('before_train_iter', 2)),
    save=Window(begin=('after_train_iter', 7), end=('after_train_iter', 7), saved=4),
    end=Window(begin=('after_train_iter', 11), saved=8),
    stop=Window(begin=('after_train_iter', 4), stopped=True, saved=4),
    restart=Window(end=('before_train', -1), resumed=True, saved=5),
    resume=Window(begin=('after_train_iter', 7), end=('after_train_iter', 7), resumed=True, saved=5),
)
STOP_AT = 4
