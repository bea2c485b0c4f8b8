"""Trials in monitored child processes: how a call handles a hostile input, and whether it leaves its folder."""

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

from mmdecouple.utils.errors import LONGEST, PREFIX, one_line, user_message

# Besides its folder, what any program writes to.
_HARMLESS = ('/dev/null', '/dev/shm', '/dev/tty', '/proc/self')
# Events of Python's audit hooks that start something or reach another machine.
_STARTS = (
    'subprocess.Popen',
    'os.system',
    'os.exec',
    'os.posix_spawn',
    'os.startfile',
    'pty.spawn',
    'socket.connect',
    'socket.bind',
    'webbrowser.open',
)
# Events that change the file system, with the number of their arguments that are paths.
_CHANGES = {
    'os.rename': 2,
    'os.remove': 1,
    'os.mkdir': 1,
    'os.rmdir': 1,
    'os.link': 2,
    'os.symlink': 2,
    'os.truncate': 1,
    'os.chmod': 1,
    'os.chown': 1,
    'shutil.rmtree': 1,
}
_GRACE = 10


class Outcome(NamedTuple):
    """How a trial ended.

    Attributes:
        kind: `success`, `refused` (one line), or one of the failures: `silent` (success where a refusal was due),
            `traceback`, `long line`, `hang`, `crash` (the process died), `escape` (it reached outside its folder).
        told: The line, or the last lines of the traceback, or what was reached.
        seconds: Of the trial.
    """

    kind: str
    told: str
    seconds: float


FAILURES = ('silent', 'traceback', 'long line', 'hang', 'crash', 'escape')


class Accepted(Exception):
    """Raised by a trial for what should have been refused, or was handed on wrongly."""


class Hang(BaseException):
    """Raised in a trial that takes too long."""


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
        call: Raises `UserError` or ends by `SystemExit` to refuse; what it returns is not looked at.
        payloads: Any objects; the children inherit them.
        folder: Working folder, home and scratch of the children.
        seconds: Longest time of a trial.
        batch: Payloads that one child tries, one after the other.
        may_start: Whether a trial may start programs: a training run asks the compiler for its version.

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
                # Native code does not let the child's own alarm through, or the process is gone.
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
    # Whatever the parent has put in their place, the words of a trial go where they can be read again.
    sys.stdout, sys.stderr = (open(number, 'w', buffering=1, closefd=False) for number in (1, 2))
    reached: list[str] = []
    sys.addaudithook(_watch(folder.resolve(), reached, () if may_start else _STARTS))
    signal.signal(signal.SIGALRM, _stop)
    for payload in payloads:
        reached.clear()
        start = time.monotonic()
        with open(folder / 'said', 'w+') as said:
            kept = os.dup(1), os.dup(2)
            for number in (1, 2):
                os.dup2(said.fileno(), number)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                kind, told = _judge(call, payload)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                sys.stdout.flush()
                sys.stderr.flush()
                for number, old in zip((1, 2), kept):
                    os.dup2(old, number)
                    os.close(old)
            said.seek(0)
            text = said.read()
        if kind == 'exit':
            kind, told = _of_program(told, text)
        if reached:
            kind, told = 'escape', reached[0]
        sender.send(Outcome(kind, told, time.monotonic() - start))
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
        message = user_message(error)
        if message is not None:
            return 'refused', one_line(message)
        return 'traceback', ''.join(traceback.format_exception(error)[-4:])[-1500:]
    return 'success', ''


def _of_program(code: str, text: str) -> tuple[str, str]:
    """The outcome of a program that ended by `sys.exit`, from what it printed."""
    lines = [line for line in text.splitlines() if PREFIX in line or ': error: ' in line]
    if code in ('0', 'None'):
        return 'success', ''
    if 'Traceback (most recent call last)' in text or len(lines) != 1:
        return 'traceback', text[-1500:]
    return ('refused' if len(lines[0]) <= LONGEST else 'long line'), lines[0]


def _stop(*_: Any) -> None:
    raise Hang


def _watch(folder: Path, reached: list[str], starts: tuple[str, ...]) -> Callable[[str, tuple], None]:
    """An audit hook that notes what is started, and what is written outside the folder."""

    def outside(path: Any) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        name = os.path.abspath(os.fsdecode(path))
        return not name.startswith((str(folder), *_HARMLESS)) and '__pycache__' not in name

    def hook(event: str, args: tuple) -> None:
        if event == 'open':
            path, mode, flags = args
            writes = any(letter in (mode or '') for letter in 'wax+') or (
                mode is None and flags is not None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if writes and outside(path):
                reached.append(f'open {path!r} to write')
        elif event in _CHANGES:
            reached.extend(f'{event} {path!r}' for path in args[: _CHANGES[event]] if outside(path))
        elif event in starts:
            reached.append(f'{event} {args!r}'[:200])

    return hook
