"""One line for a mistake of the user, the whole traceback for a mistake of ours."""
import linecache
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
PREFIX = 'mmdecouple: error: '


def deliberate_message(error: BaseException) -> str | None:
    """Message of the first error in the chain that this package raised on purpose, else None.

    The rule: an error is deliberate when its innermost frame is a `raise` statement of a file in
    `mmdecouple/`. An error that torch, mmengine or Python itself raises while running our code is
    a bug, or unforeseen, and is not. A worker of a `DataLoader` hands its error on as the text of a
    traceback, which is read by the same rule.

    Args:
        error: The error that reached the top; those it was raised from or during are searched too.
    """
    current: BaseException | None = error
    while current is not None:
        frames = traceback.extract_tb(current.__traceback__)
        if frames and not isinstance(current, NotImplementedError):
            if _raised_here(frames[-1].filename, frames[-1].lineno or 0):
                return str(current.args[0]) if current.args else type(current).__name__
            told = _told_by_worker(str(current))
            if told is not None:
                return told
        current = current.__cause__ or current.__context__
    return None


def _raised_here(file: str, number: int) -> bool:
    return (PACKAGE in Path(file).resolve().parents
            and linecache.getline(file, number).lstrip().startswith('raise'))


def _told_by_worker(text: str) -> str | None:
    # Caught ValueError in DataLoader worker process 0.
    # Original Traceback (most recent call last):
    #   File "...", line 9, in f
    #     raise ValueError(...
    # ValueError: the message
    if not re.match(r'Caught \w+ in DataLoader worker process', text):
        return None
    *_, last = re.split(r'^(?=  File ")', text, flags=re.MULTILINE)
    found = re.match(r'  File "(.+)", line (\d+), in .*\n(?:    .*\n)*[\w.]+: ((?:.|\n)*)', last)
    return found[3].strip() if found and _raised_here(found[1], int(found[2])) else None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line and exit code 1 on a deliberate error; others pass untouched.

    `MMDECOUPLE_TRACEBACK=1` in the environment shows every traceback.
    """
    try:
        yield
    except Exception as error:
        message = deliberate_message(error)
        if message is None or os.environ.get('MMDECOUPLE_TRACEBACK') == '1':
            raise
        print(f'{PREFIX}{message}', file=sys.stderr)
        sys.exit(1)
