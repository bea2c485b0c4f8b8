"""Error reporting: one line for a mistake of the user, the whole traceback for a bug."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PREFIX = 'mmdecouple: error: '
# Fits a terminal or a log; values read from files can have any length.
MAX_LENGTH = 300


class UserError(ValueError):
    """An error that the user can correct. Any other exception that ends a program is a bug and keeps its traceback.

    Args:
        message: One line that states what is wrong, where, and what to do.
    """


class MissingFile(UserError, FileNotFoundError):
    """A file or folder that does not exist."""


class UnwritableFile(UserError, OSError):
    """A place that cannot be written, or a port that cannot be opened."""


class WrongInstallation(UserError, ImportError):
    """A package that is missing or of a version that does not fit."""


def shown(value: Any, max_length: int = 60) -> str:
    """Returns the `repr` of a value for a message, shortened in the middle.

    Args:
        value: Value of any type and size.
        max_length: Largest number of characters, > 4.
    """
    try:
        text = repr(value)
    except Exception:
        text = f'<{type(value).__name__}>'
    return _shortened(text, max_length)


def user_message(error: BaseException) -> str | None:
    """Returns the message of the first `UserError` in a chain of exceptions, or None.

    A `DataLoader` worker passes its error on as the text of a traceback, from which the message is extracted.

    Args:
        error: The uncaught exception; its causes and contexts are searched as well.
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
    """Returns a message without line breaks and control characters, shortened to `MAX_LENGTH` with the prefix."""
    printable = ''.join(letter if letter.isprintable() else ' ' for letter in message)
    return _shortened(' '.join(printable.split()), MAX_LENGTH - len(PREFIX))


def _shortened(text: str, max_length: int) -> str:
    if len(text) <= max_length:
        return text
    tail = (max_length - 3) // 3
    return f'{text[: max_length - 3 - tail]}...{text[len(text) - tail :]}'


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Context manager that ends the program with one line and exit code 1 on a `UserError`; other errors propagate.

    With the environment variable `MMDECOUPLE_TRACEBACK=1`, a `UserError` propagates too.
    """
    try:
        yield
    except Exception as error:
        message = user_message(error)
        if message is None or os.environ.get('MMDECOUPLE_TRACEBACK') == '1':
            raise
        print(f'{PREFIX}{one_line(message)}', file=sys.stderr)
        sys.exit(1)
