"""Trials of calls with hostile inputs in child processes, confined to a folder and to a time."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from trial_process import Outcome, try_all

_GRACE = 10


def run_trials(
    call: Callable[[Any], None],
    payloads: Iterable[Any],
    folder: Path,
    seconds: float,
    batch: int,
    may_start: bool = False,
) -> Iterator[tuple[Any, Outcome]]:
    """Calls a function with each payload in child processes that are confined to a folder and to a time.

    Args:
        call: Function that raises `UserError` or `SystemExit` to refuse a payload; its result is ignored.
        payloads: Any objects, which the children inherit.
        folder: Working directory, home and temporary folder of the children.
        seconds: Time limit of a trial.
        batch: Number of payloads that one child tries in sequence.
        may_start: Whether a trial may start programs; a training run, for example, queries the version of the compiler.

    Yields:
        Each payload with its outcome, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    todo: list[Any] = []
    for payload in payloads:
        todo.append(payload)
        if len(todo) == batch:
            yield from _run_batch(call, todo, folder, seconds, may_start)
            todo = []
    yield from _run_batch(call, todo, folder, seconds, may_start)


def _run_batch(
    call: Callable, payloads: list, folder: Path, seconds: float, may_start: bool
) -> Iterator[tuple[Any, Outcome]]:
    context = get_context('fork')
    at = 0
    while at < len(payloads):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=try_all, args=(call, payloads[at:], folder, seconds, may_start, sender))
        child.start()
        sender.close()
        start = time.monotonic()
        while at < len(payloads):
            outcome = _received(receiver, seconds + _GRACE)
            if outcome is None:
                # Native code blocks the alarm of the child, or the process has died.
                kind = 'crash' if not child.is_alive() or receiver.poll(0) else 'hang'
                child.kill()
                child.join()
                yield payloads[at], Outcome(kind, f'exit code {child.exitcode}', time.monotonic() - start)
                at += 1
                break
            yield payloads[at], outcome
            at, start = at + 1, time.monotonic()
        child.join()


def _received(receiver: Connection, seconds: float) -> Outcome | None:
    with suppress(EOFError, OSError):
        if receiver.poll(seconds):
            return receiver.recv()
    return None
