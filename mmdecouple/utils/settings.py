"""Checks of settings: one clear line for each wrong value, with the config key and what is allowed."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from .errors import UserError, shown


class SettingError(UserError):
    """A wrong setting.

    Args:
        owner: Name of the class.
        setting: Name of the setting.
        problem: What is wrong with it, as the rest of a sentence.
        where: Config key of the block the setting stands in; None where only the caller knows it.
    """

    def __init__(self, owner: str, setting: str, problem: str, where: str | None = None) -> None:
        key = '' if where is None else f' (config key {where}.{setting})'
        super().__init__(f'{owner}: {setting} {problem}{key}.')
        self.owner, self.setting, self.problem = owner, setting, problem

    def at(self, where: str) -> 'SettingError':
        """The same with the config key of the block."""
        return SettingError(self.owner, self.setting, self.problem, where)


class Settings:
    """Checks the settings of one object, in its constructor.

    Args:
        owner: The object, or the name of its class.
        where: Config key of its block; None leaves it out of the messages.

    Every check returns the value and raises `SettingError`.
    """

    def __init__(self, owner: Any, where: str | None = None) -> None:
        self.owner = owner if isinstance(owner, str) else type(owner).__name__
        self.where = where

    def number(
        self,
        setting: str,
        value: Any,
        least: float | None = None,
        most: float | None = None,
        *,
        above: float | None = None,
        below: float | None = None,
        whole: bool = False,
        optional: bool = False,
    ) -> Any:
        """A finite number within limits.

        Args:
            setting: Its name.
            value: What was given; NaN, infinities, bools and strings are refused.
            least: Smallest number allowed.
            most: Largest number allowed.
            above: Number that it must exceed.
            below: Number that it must stay below.
            whole: Whether it must be an int.
            optional: Whether None is allowed.
        """
        if value is None and optional:
            return value
        kind = Integral if whole else Real
        typed = isinstance(value, kind) and not isinstance(value, bool)
        if not (
            typed
            and abs(value) < math.inf
            and (least is None or value >= least)
            and (most is None or value <= most)
            and (above is None or value > above)
            and (below is None or value < below)
        ):
            self._refuse(setting, _rule(least, most, above, below, whole, optional, typed), value)
        return value

    def numbers(self, setting: str, value: Any, length: int | None = None, **limits: Any) -> tuple:
        """A list or tuple of numbers, each as in `number`; as a tuple.

        Args:
            setting: Its name.
            value: What was given.
            length: How many there must be; None for at least one.
            **limits: As for `number`.
        """
        if not isinstance(value, (list, tuple)) or not value or length not in (None, len(value)):
            count = 'at least one number' if length is None else f'{length} numbers'
            self._refuse(setting, f'must be a list of {count}', value)
        for index, entry in enumerate(value):
            self.number(f'{setting}[{index}]', entry, **limits)
        return tuple(value)

    def ordered(self, setting: str, value: Any, **limits: Any) -> tuple:
        """A pair `(low, high)` with low <= high; as a tuple."""
        low, high = self.numbers(setting, value, 2, **limits)
        if low > high:
            self._refuse(setting, 'must have low <= high', value)
        return low, high

    def span(self, setting: str, value: Any, **limits: Any) -> tuple[float, float]:
        """A number or a pair `(low, high)` as a pair of floats; one number stands for both."""
        if isinstance(value, Real) and not isinstance(value, bool):
            self.number(setting, value, **limits)
            value = value, value
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            self._refuse(setting, 'must be a number or a pair (low, high)', value)
        low, high = self.ordered(setting, value, **limits)
        return float(low), float(high)

    def choice(self, setting: str, value: Any, allowed: Sequence[str]) -> str:
        """One of several words."""
        if not isinstance(value, str) or value not in allowed:
            self._refuse(setting, f'must be one of {", ".join(allowed)}', value)
        return value

    def flag(self, setting: str, value: Any) -> bool:
        """True or False."""
        if not isinstance(value, bool):
            self._refuse(setting, 'must be True or False', value)
        return value

    def text(self, setting: str, value: Any, optional: bool = False) -> str | None:
        """A string that is not empty."""
        if not (value is None and optional) and not (isinstance(value, str) and value):
            self._refuse(setting, f'must be a string{" or None" * optional}', value)
        return value

    def block(self, setting: str, value: Any, optional: bool = False, typed: bool = True) -> dict | None:
        """A dict of settings, with the `type` of what it describes.

        Args:
            setting: Its name.
            value: What was given.
            optional: Whether None is allowed.
            typed: Whether it must have a `type`.
        """
        if not (value is None and optional) and not (isinstance(value, dict) and (not typed or 'type' in value)):
            self._refuse(setting, f'must be a dict{" with a type" * typed}{" or None" * optional}', value)
        return value

    def refuse(self, setting: str, problem: str) -> None:
        """Raises for a reason of the object's own."""
        raise SettingError(self.owner, setting, problem, self.where)

    def _refuse(self, setting: str, rule: str, value: Any) -> None:
        self.refuse(setting, f'{rule}, got {shown(value)}')


def _rule(
    least: float | None,
    most: float | None,
    above: float | None,
    below: float | None,
    whole: bool,
    optional: bool,
    typed: bool,
) -> str:
    kind = f'{"a whole number" if whole else "a number"}{" or None" * optional}'
    low, high = (least, above)[above is not None], (most, below)[below is not None]
    if low is not None and high is not None:
        span = f'{"[("[above is not None]}{low:g}, {high:g}{"])"[below is not None]}'
        return f'must lie in {span}' if typed else f'must be {kind} in {span}'
    limits = [
        f'{word} {limit:g}'
        for word, limit in (('of at least', least), ('above', above), ('of at most', most), ('below', below))
        if limit is not None
    ]
    return ' '.join([f'must be {kind}', *limits])
