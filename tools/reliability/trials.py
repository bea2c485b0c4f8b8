"""Trials of calls with hostile inputs in child processes, confined to a folder and to a time."""

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from confinement import STARTS, watch

from mmdecouple.utils.errors import MAX_LENGTH, PREFIX, one_line, user_message

_GRACE = 10


class Outcome(NamedTuple):
    """Outcome of a trial.

    Attributes:
        kind: `success`, `refused` (with one line), or one of the failures: `silent` (success instead of a refusal),
            `traceback`, `long line`, `hang`, `crash` (the process died), `escape` (it left its folder).
        message: The line, the last lines of the traceback, or what was reached outside the folder.
        seconds: Duration of the trial.
    """

    kind: str
    message: str
    seconds: float


FAILURES = ('silent', 'traceback', 'long line', 'hang', 'crash', 'escape')


class Accepted(Exception):
    """Raised by a trial if an input should have been refused, or was passed on incorrectly."""


class Hang(BaseException):
    """Raised in a trial that exceeds its time limit."""


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
        child = context.Process(target=_try_all, args=(call, payloads[at:], folder, seconds, may_start, sender))
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


def _try_all(call: Callable, payloads: list, folder: Path, seconds: float, may_start: bool, sender: Connection) -> None:
    os.chdir(folder)
    os.environ.update(HOME=str(folder), TMPDIR=str(folder), XDG_CACHE_HOME=str(folder))
    tempfile.tempdir = str(folder)
    # The parent may have replaced these streams; the output of a trial must reach the file descriptors.
    sys.stdout, sys.stderr = (open(number, 'w', buffering=1, closefd=False) for number in (1, 2))
    reached: list[str] = []
    sys.addaudithook(watch(folder.resolve(), reached, () if may_start else STARTS))
    signal.signal(signal.SIGALRM, _stop)
    for payload in payloads:
        reached.clear()
        start = time.monotonic()
        with open(folder / 'said', 'w+') as said:
            saved = os.dup(1), os.dup(2)
            for number in (1, 2):
                os.dup2(said.fileno(), number)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                kind, message = _judge(call, payload)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                sys.stdout.flush()
                sys.stderr.flush()
                for number, old in zip((1, 2), saved):
                    os.dup2(old, number)
                    os.close(old)
            said.seek(0)
            text = said.read()
        if kind == 'exit':
            kind, message = _of_program(message, text)
        if reached:
            kind, message = 'escape', reached[0]
        sender.send(Outcome(kind, message, time.monotonic() - start))
    sender.close()


def _judge(call: Callable, payload: Any) -> tuple[str, str]:
    try:
        call(payload)
    except Hang:
        return 'hang', ''
    except SystemExit as end:
        return 'exit', str(end.code)
    except Accepted as error:
        return 'silent', str(error)
    except Exception as error:
        line = user_message(error)
        if line is not None:
            return 'refused', one_line(line)
        return 'traceback', ''.join(traceback.format_exception(error)[-4:])[-1500:]
    return 'success', ''


def _of_program(code: str, text: str) -> tuple[str, str]:
    """Returns the outcome of a program that ended with `sys.exit`, derived from its output."""
    lines = [line for line in text.splitlines() if PREFIX in line or ': error: ' in line]
    if code in ('0', 'None'):
        return 'success', ''
    if 'Traceback (most recent call last)' in text or len(lines) != 1:
        return 'traceback', text[-1500:]
    return ('refused' if len(lines[0]) <= MAX_LENGTH else 'long line'), lines[0]


def _stop(*_: Any) -> None:
    raise Hang
