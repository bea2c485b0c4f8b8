"""One line for a mistake of the user, the whole traceback for a mistake of ours."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PREFIX = 'mmdecouple: error: '
# A line for a terminal or a log; a value out of a file can be of any length.
LONGEST = 300


class UserError(ValueError):
    """What the user can correct: the message says what is wrong, where, and what to do.

    Args:
        message: One or two sentences. Every other exception that reaches the top is a bug and keeps its traceback.
    """


class MissingFile(UserError, FileNotFoundError):
    """A file or folder that does not exist."""


class UnwritableFile(UserError, OSError):
    """A place that cannot be written, or a port that cannot be opened."""


class WrongInstallation(UserError, ImportError):
    """A package that is missing or of a version that does not fit."""


def shown(value: Any, longest: int = 60) -> str:
    """`repr` of a value for a message, on one line and cut in the middle.

    Args:
        value: What was found, of any type and size.
        longest: Most characters, > 4.
    """
    try:
        text = repr(value)
    except Exception:
        text = f'<{type(value).__name__}>'
    return _shortened(text, longest)


def user_message(error: BaseException) -> str | None:
    """Message of the first `UserError` in the chain, else None.

    A worker of a `DataLoader` passes its error on as the text of a traceback; the message is taken out of it.

    Args:
        error: The error that reached the top; those it was raised from or during are searched too.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, UserError):
            text = str(current.args[0]) if current.args else type(current).__name__
            return _of_worker(text) or text
        current = current.__cause__ or current.__context__
    return None


def _of_worker(text: str) -> str | None:
    # Caught UserError in DataLoader worker process 0.
    # Original Traceback (most recent call last):
    #   File "...", line 9, in f
    #     raise UserError(...
    # mmdecouple.utils.errors.UserError: the message
    if not re.match(r'Caught \w+ in DataLoader worker process', text):
        return None
    *_, last = re.split(r'^(?=  File ")', text, flags=re.MULTILINE)
    found = re.match(r'  File "(.+)", line (\d+), in .*\n(?:    .*\n)*[\w.]+: ((?:.|\n)*)', last)
    return found[3].strip() if found else None


def one_line(message: str) -> str:
    """A message without line breaks and control characters, cut in the middle to `LONGEST` characters."""
    printable = ''.join(letter if letter.isprintable() else ' ' for letter in message)
    return _shortened(' '.join(printable.split()), LONGEST - len(PREFIX))


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    tail = (longest - 3) // 3
    return f'{text[: longest - 3 - tail]}...{text[len(text) - tail :]}'


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line and exit code 1 on a `UserError`; others pass untouched.

    `MMDECOUPLE_TRACEBACK=1` in the environment shows every traceback.
    """
    try:
        yield
    except Exception as error:
        message = user_message(error)
        if message is None or os.environ.get('MMDECOUPLE_TRACEBACK') == '1':
            raise
        print(f'{PREFIX}{one_line(message)}', file=sys.stderr)
        sys.exit(1)
