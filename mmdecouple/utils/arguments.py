"""Command-line argument types shared by all tools: an invalid value ends the program with one line that names it."""

import argparse
import math
import re
from collections.abc import Callable, Sequence

from mmengine.config import DictAction


def integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """Returns a type for `add_argument` that accepts whole numbers from `low` to `high`, both included.

    Args:
        low: Smallest number.
        high: Largest number; None for no limit.
    """
    allowed = f'of at least {low}' if high is None else f'from {low} to {high}'

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < low or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f'must be a whole number {allowed}, got {text}')
        return value

    return read


def real(low: float = -math.inf, high: float = math.inf) -> Callable[[str], float]:
    """Returns a type for `add_argument` that accepts finite numbers from `low` to `high`, both included."""
    bounds = f' from {low:g} to {high:g}' if high < math.inf else f' of at least {low:g}' if low > -math.inf else ''

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            raise argparse.ArgumentTypeError(f'must be a finite number{bounds}, got {text}')
        return value

    return read


def byte_count(text: str) -> int:
    """Reads a number of bytes with an optional unit, such as `512MiB` or `2GB`; a type for `add_argument`."""
    found = re.fullmatch(r'(\d{1,12})(?:([KMGT])(i?)B)?', text)
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f'must be a size such as 512MiB or 2GB, got {text}')
    power = ' KMGT'.index(found[2] or ' ')
    return int(found[1]) * (1024 if found[3] else 1000) ** power


positive = integer(1)
whole = integer(0)
# The range that numpy accepts.
seed = integer(0, 2**32 - 1)


def add_overrides(parser: argparse.ArgumentParser, help: str = 'overrides of the config') -> None:
    """Adds `--cfg-options KEY=VALUE ...`, read into a dict of dotted keys.

    Args:
        parser: Parser of the tool.
        help: Help text of the option.
    """
    parser.add_argument('--cfg-options', nargs='+', action=_Overrides, default={}, metavar='KEY=VALUE', help=help)


class _Overrides(DictAction):
    """mmengine's `DictAction` with one-line errors where it would raise a traceback."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        for value in values:
            key, separator, _ = value.partition('=')
            if not (key and separator):
                raise argparse.ArgumentError(self, f'{value} is not KEY=VALUE, such as train_cfg.max_epochs=10')
            try:
                super().__call__(parser, namespace, [value], option_string)
            except (AssertionError, RecursionError):
                raise argparse.ArgumentError(
                    self, f'the value of {value} cannot be read; check its brackets and commas'
                ) from None
