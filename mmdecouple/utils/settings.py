"""Checks of settings: one line for each invalid value, with the config key and the allowed values."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from .errors import UserError, shown


class SettingError(UserError):
    """An invalid setting.

    Args:
        owner: Name of the class.
        setting: Name of the setting.
        problem: Predicate of the sentence that begins with the setting, such as `must be above 0, got -1`.
        where: Config key of the block that contains the setting; None if the caller adds it with `at`.
    """

    def __init__(self, owner: str, setting: str, problem: str, where: str | None = None) -> None:
        key = '' if where is None else f' (config key {where}.{setting})'
        super().__init__(f'{owner}: {setting} {problem}{key}.')
        self.owner, self.setting, self.problem = owner, setting, problem

    def at(self, where: str) -> 'SettingError':
        """Returns the same error with the config key of the block."""
        return SettingError(self.owner, self.setting, self.problem, where)


class Settings:
    """Checks the settings of one object in its constructor.

    Every check returns the value, and raises `SettingError` if it is invalid.

    Args:
        owner: The object, or the name of its class.
        where: Config key of its block; None omits it from the messages.
    """

    def __init__(self, owner: Any, where: str | None = None) -> None:
        self.owner = owner if isinstance(owner, str) else type(owner).__name__
        self.where = where

    def number(
        self,
        setting: str,
        value: Any,
        minimum: float | None = None,
        maximum: float | None = None,
        *,
        above: float | None = None,
        below: float | None = None,
        whole: bool = False,
        optional: bool = False,
    ) -> Any:
        """Checks a finite number.

        Args:
            setting: Name of the setting.
            value: Value to check; NaN, infinities, bools and strings are rejected.
            minimum: Smallest value, included.
            maximum: Largest value, included.
            above: Lower limit, excluded.
            below: Upper limit, excluded.
            whole: Whether the value must be an integer.
            optional: Whether None is allowed.
        """
        if value is None and optional:
            return value
        kind = Integral if whole else Real
        typed = isinstance(value, kind) and not isinstance(value, bool)
        if not (
            typed
            and abs(value) < math.inf
            and (minimum is None or value >= minimum)
            and (maximum is None or value <= maximum)
            and (above is None or value > above)
            and (below is None or value < below)
        ):
            self._refuse(setting, _rule(minimum, maximum, above, below, whole, optional, typed), value)
        return value

    def numbers(self, setting: str, value: Any, length: int | None = None, **limits: Any) -> tuple:
        """Checks a list or tuple of numbers, and returns it as a tuple.

        Args:
            setting: Name of the setting.
            value: Value to check.
            length: Required length; None for at least one number.
            **limits: Limits of each number, as for `number`.
        """
        if not isinstance(value, (list, tuple)) or not value or length not in (None, len(value)):
            count = 'at least one number' if length is None else f'{length} numbers'
            self._refuse(setting, f'must be a list of {count}', value)
        for index, entry in enumerate(value):
            self.number(f'{setting}[{index}]', entry, **limits)
        return tuple(value)

    def ordered(self, setting: str, value: Any, **limits: Any) -> tuple:
        """Checks a pair `(low, high)` with low <= high, and returns it as a tuple; limits as for `number`."""
        low, high = self.numbers(setting, value, 2, **limits)
        if low > high:
            self._refuse(setting, 'must have low <= high', value)
        return low, high

    def span(self, setting: str, value: Any, **limits: Any) -> tuple[float, float]:
        """Checks a number or a pair `(low, high)`, and returns a pair of floats; one number is used for both."""
        if isinstance(value, Real) and not isinstance(value, bool):
            self.number(setting, value, **limits)
            value = value, value
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            self._refuse(setting, 'must be a number or a pair (low, high)', value)
        low, high = self.ordered(setting, value, **limits)
        return float(low), float(high)

    def choice(self, setting: str, value: Any, allowed: Sequence[str]) -> str:
        """Checks a string against the allowed ones."""
        if not isinstance(value, str) or value not in allowed:
            self._refuse(setting, f'must be one of {", ".join(allowed)}', value)
        return value

    def flag(self, setting: str, value: Any) -> bool:
        """Checks a bool."""
        if not isinstance(value, bool):
            self._refuse(setting, 'must be True or False', value)
        return value

    def text(self, setting: str, value: Any, optional: bool = False) -> str | None:
        """Checks a string that is not empty."""
        if not (value is None and optional) and not (isinstance(value, str) and value):
            self._refuse(setting, f'must be a string{" or None" * optional}', value)
        return value

    def block(self, setting: str, value: Any, optional: bool = False, typed: bool = True) -> dict | None:
        """Checks the config of an object: a dict with a `type`.

        Args:
            setting: Name of the setting.
            value: Value to check.
            optional: Whether None is allowed.
            typed: Whether the key `type` is required.
        """
        if not (value is None and optional) and not (isinstance(value, dict) and (not typed or 'type' in value)):
            self._refuse(setting, f'must be a dict{" with a type" * typed}{" or None" * optional}', value)
        return value

    def refuse(self, setting: str, problem: str) -> None:
        """Raises `SettingError` with a problem that the object itself found."""
        raise SettingError(self.owner, setting, problem, self.where)

    def _refuse(self, setting: str, rule: str, value: Any) -> None:
        self.refuse(setting, f'{rule}, got {shown(value)}')


def _rule(
    minimum: float | None,
    maximum: float | None,
    above: float | None,
    below: float | None,
    whole: bool,
    optional: bool,
    typed: bool,
) -> str:
    kind = f'{"a whole number" if whole else "a number"}{" or None" * optional}'
    low, high = (minimum, above)[above is not None], (maximum, below)[below is not None]
    if low is not None and high is not None:
        span = f'{"[("[above is not None]}{low:g}, {high:g}{"])"[below is not None]}'
        return f'must lie in {span}' if typed else f'must be {kind} in {span}'
    limits = [
        f'{relation} {limit:g}'
        for relation, limit in (('of at least', minimum), ('above', above), ('of at most', maximum), ('below', below))
        if limit is not None
    ]
    return ' '.join([f'must be {kind}', *limits])
