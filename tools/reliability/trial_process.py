"""Process that tries payloads in sequence, confined to a folder and to a time, and the outcomes of its trials."""

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from confinement import STARTS, watch

from mmdecouple.utils.errors import MAX_LENGTH, PREFIX, one_line, user_message


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


def try_all(call: Callable, payloads: list, folder: Path, seconds: float, may_start: bool, sender: Connection) -> None:
    """Tries the payloads in this process, and sends the outcome of each; see `run_trials`."""
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
