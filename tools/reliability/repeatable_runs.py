"""Conditions under which a forked run repeats another one to the byte, and quickly."""

import functools
import itertools
import secrets
import time
from importlib import import_module
from typing import Any

from mmengine.runner import runner as mmengine_runner
from mmengine.utils.dl_utils import collect_env
from PIL import Image
from yapf.yapflib import yapf_api

_BEGIN = 1_800_000_000.0  # seconds since the epoch
_DAY = 86_400.0


def make_repeatable(day: int) -> None:
    """Replaces clock and random names, so that equal states of a folder have equal bytes in every run.

    The config is stored without yapf's layout, and the environment is read once: both take most of the time of a run.

    Args:
        day: Day of the clock.
    """
    clock, names = itertools.count(1), itertools.count()
    strftime, localtime = time.strftime, time.localtime
    time.time = lambda: _BEGIN + day * _DAY + next(clock) / 1024
    time.localtime = lambda seconds=None: localtime(time.time() if seconds is None else seconds)
    time.strftime = lambda form, moment=None: strftime(form, time.localtime() if moment is None else moment)
    yapf_api.FormatCode = lambda text, **_: (text, False)
    mmengine_runner.collect_env = _environment
    secrets.token_hex = lambda length=32: f'{next(names):0{2 * length}x}'


@functools.cache
def load_early() -> None:
    """Loads what a run loads late, so that its forks have it."""
    _environment()
    Image.init()
    for module in ('configuration', 'visualization', 'weights.mmengine_loading'):
        import_module(f'mmdecouple.{module}')


@functools.cache
def _environment() -> dict[str, Any]:
    return collect_env()
