"""A signal that arrives before a run can answer it."""

import signal
from types import FrameType

_early: list[signal.Signals] = []


def keep_early_signals() -> None:
    """Notes SIGUSR1, which would end the program, until `GracefulStopHook` takes it over.

    A cluster sends it ahead of a time limit; a program that it ended while it started would not be requeued.
    """
    signal.signal(signal.SIGUSR1, _note)


def early_signal() -> signal.Signals | None:
    """The first signal that was noted."""
    return _early[0] if _early else None


def _note(number: int, frame: FrameType | None) -> None:
    _early.append(signal.Signals(number))
