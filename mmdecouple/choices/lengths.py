"""Lengths of a training: schedules and warm-ups that follow its number of epochs."""

from typing import Any

from mmengine.config import Config

# Lengths in epochs inside the model: teacher temperature, frozen last layer, reach of PLRC's affinity.
_IN_MODEL = ('warmup_epochs', 'freeze_last_layer')
_WHOLE = ('begin', 'end', 'T_max')


def set_epochs(config: Config, epochs: int, steps: int) -> None:
    """Changes the length of a training, with the same proportions of all schedules and warm-ups.

    Args:
        config: Config that trains by epochs, changed in place.
        epochs: New number of epochs, at least 1.
        steps: Steps per epoch with the new batch size and data.
    """
    factor = epochs / config.train_cfg.max_epochs
    config.train_cfg.max_epochs = epochs
    # The schedules of the demo, in iterations, end with its training.
    schedules = config.get('param_scheduler') or []
    schedules = [schedules] if isinstance(schedules, dict) else schedules
    ends = max((schedule.get('end', 0) for schedule in schedules), default=0)
    for schedule in schedules:
        by_epoch = schedule.get('by_epoch', True)
        _scale(schedule, factor if by_epoch or not ends else epochs * steps / ends)
        if by_epoch:
            schedule.convert_to_iter_based = True
    _shorten(config.model, factor)


def _scale(schedule: dict[str, Any], factor: float) -> None:
    for key in _WHOLE:
        if schedule.get(key):
            schedule[key] = max(round(schedule[key] * factor), 1)
    if 'end' in schedule:
        schedule['end'] = max(schedule['end'], schedule.get('begin', 0) + 1)
    if schedule.get('warmup'):
        schedule['warmup'] = round(schedule['warmup'] * factor, 3)


def _shorten(block: dict[str, Any], factor: float) -> None:
    for key, value in block.items():
        if isinstance(value, dict):
            _shorten(value, factor)
        elif key in _IN_MODEL and value:
            block[key] = round(value * factor)


def epochs_within(minutes: float, seconds_per_epoch: float, longest: int) -> int:
    """Returns the largest number of epochs that fits into a time, at least 1 and at most `longest`."""
    return min(max(int(60 * minutes / seconds_per_epoch), 1), longest)
