"""Checks of the settings of mask samplers: one clear line for each wrong value."""
from mmdecouple.utils.errors import UserError


class MaskSettingError(UserError):
    """A wrong setting of a mask sampler.

    Args:
        owner: Name of the sampler.
        setting: Name of the setting.
        problem: What is wrong with it, as the rest of a sentence.
    """

    def __init__(self, owner: str, setting: str, problem: str) -> None:
        super().__init__(f'{owner}: {setting} {problem}')
        self.setting = setting


def number_range(owner: str,
                 setting: str,
                 value: float | tuple[float, float],
                 *,
                 positive: bool = False,
                 most: float | None = 1.0) -> tuple[float, float]:
    """A number or a pair `(low, high)` as a checked pair of floats.

    Args:
        owner: Name of the sampler, for the message.
        setting: Name of the setting, for the message.
        value: One number, which stands for `(value, value)`, or a pair.
        positive: Whether 0 is refused as well as negative numbers.
        most: Largest value allowed, None for no limit.

    Returns:
        `(low, high)`.

    Raises:
        MaskSettingError: Not one or two numbers, low > high, or a number outside the limits.
    """
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in pair):
        raise MaskSettingError(
            owner, setting, f'must be a number or a pair (low, high), got {value!r}')
    limit = float('inf') if most is None else most
    for number in pair:
        if not (0 < number <= limit or number == 0 and not positive):
            bracket = '(' if positive else '['
            bounds = 'be positive' if most is None else f'lie in {bracket}0, {most:g}]'
            raise MaskSettingError(owner, setting, f'must {bounds}, got {number!r}')
    if pair[0] > pair[1]:
        raise MaskSettingError(owner, setting, f'must have low <= high, got {value!r}')
    return float(pair[0]), float(pair[1])


def choice(owner: str, setting: str, value: str, known: tuple[str, ...]) -> str:
    """`value` if it is one of `known`; else a MaskSettingError that lists them."""
    if value not in known:
        names = ', '.join(repr(name) for name in known)
        raise MaskSettingError(owner, setting, f'must be one of {names}, got {value!r}')
    return value
