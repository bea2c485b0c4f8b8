"""Lengths of a training: schedules and warm-ups that follow its number of epochs, and durations in words."""

from typing import Any

from mmengine.config import Config

# Lengths in epochs inside the model: teacher temperature, frozen last layer, reach of PLRC's affinity.
_IN_MODEL = ('warmup_epochs', 'freeze_last_layer')
_IN_SCHEDULE = ('begin', 'end', 'T_max', 'warmup')


def set_epochs(config: Config, epochs: int, steps: int) -> None:
    """Changes the length of a training, with the same proportions of all schedules and warm-ups.

    Args:
        config: Config that trains by epochs, changed in place.
        epochs: New number of epochs, at least 1.
        steps: Steps per epoch with the new batch size and data.
    """
    factor = epochs / config.train_cfg.max_epochs
    config.train_cfg.max_epochs = epochs
    for schedule in config.param_scheduler:
        if schedule.get('by_epoch', True):
            _scale(schedule, factor)
            schedule.convert_to_iter_based = True
        else:
            # The demo's schedules end with its training.
            ends = max(other.get('end', 0) for other in config.param_scheduler)
            _scale(schedule, epochs * steps / ends, whole=True)
    _shorten(config.model, factor)


def _scale(schedule: dict[str, Any], factor: float, whole: bool = False) -> None:
    for key in _IN_SCHEDULE:
        if schedule.get(key):
            length = schedule[key] * factor
            schedule[key] = max(round(length), 1) if whole else round(length, 3)
    if whole:
        schedule['end'] = max(schedule['end'], schedule.get('begin', 0) + 1)


def _shorten(block: dict[str, Any], factor: float) -> None:
    for key, value in block.items():
        if isinstance(value, dict):
            _shorten(value, factor)
        elif key in _IN_MODEL and value:
            block[key] = round(value * factor)


def epochs_within(minutes: float, seconds_per_epoch: float, longest: int) -> int:
    """Returns the largest number of epochs that fits into a time, at least 1 and at most `longest`."""
    return min(max(int(60 * minutes / seconds_per_epoch), 1), longest)


def in_words(seconds: float) -> str:
    """Returns a duration rounded for a reader, such as `about 25 min` or `about 3 h 20 min`."""
    if seconds < 90:
        return f'about {max(round(seconds, -1), 10):.0f} s'
    minutes = round(seconds / 60)
    if minutes < 90:
        return f'about {minutes} min'
    hours, minutes = divmod(10 * round(minutes / 10), 60)
    return f'about {hours} h {minutes} min' if minutes else f'about {hours} h'
