"""Measured speed of a training: a few steps in a separate process, `python -m mmdecouple.choices.timing`."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import PREFIX, UserError
from mmdecouple.utils.files import write_json

_LEAST_STEPS, _LEAST_SECONDS, _MOST_SECONDS = 8, 5.0, 45.0
_RESULT = 'speed.json'


@dataclass(frozen=True)
class Speed:
    """Measured speed.

    Attributes:
        step: Seconds of a training step, including the wait for its images.
        start: Seconds from the start of the process to the first step.
        steps: Number of measured steps.
    """

    step: float
    start: float
    steps: int


class OutOfMemory(Exception):
    """A step needs more memory than the device has."""


class _Measured(Exception):
    """Enough steps were taken."""


class StepTimer(Hook):
    """Measures the mean duration of steps and then ends the training.

    Batches that were prepared while the network was built are not counted: they would hide a slow loader.

    Args:
        skipped: Number of first steps that are not measured.
        clock: Clock in seconds.
    """

    priority = 'LOWEST'

    def __init__(self, skipped: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._skipped, self._clock = skipped, clock
        self._first: float | None = None
        self._begin = self._end = 0.0
        self._done = self._steps = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """Counts a step; ends the training after enough of them."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._done, now = self._done + 1, self._clock()
        if self._first is None:
            self._first = self._begin = self._end = now
            return
        # A slow machine does not skip for longer than half of the time.
        if self._done <= self._skipped and now - self._first < _MOST_SECONDS / 2:
            self._begin = self._end = now
            return
        self._steps, self._end = self._steps + 1, now
        enough = self._steps >= _LEAST_STEPS and now - self._begin >= _LEAST_SECONDS
        if enough or now - self._begin >= _MOST_SECONDS / 2:
            raise _Measured

    def speed(self, started: float) -> Speed:
        """Returns the measured speed.

        Args:
            started: Time at which the process started, by the same clock.
        """
        first = self._first or started
        step = (self._end - self._begin) / self._steps if self._steps else first - started
        return Speed(step, first - started, self._steps)


def measure_speed(config: Config) -> Speed:
    """Takes a few steps of a training in another process, which leaves nothing behind.

    Args:
        config: Complete config.

    Raises:
        OutOfMemory: The memory of the device does not suffice.
        UserError: The training fails; the message is that of the training.
    """
    with tempfile.TemporaryDirectory(prefix='mmdecouple-speed-') as folder:
        path = Path(folder, 'config.py')
        path.write_text(config.pretty_text)
        command = [sys.executable, '-W', 'ignore', '-m', __spec__.name, str(path)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode == 0:
            found = json.loads(path.with_name(_RESULT).read_text())
            if found is None:
                raise OutOfMemory
            return Speed(**found)
    reasons = [line for line in result.stderr.splitlines() if line.startswith(PREFIX)]
    if not reasons:
        sys.stderr.write(result.stderr)
    raise UserError(reasons[-1].removeprefix(PREFIX) if reasons else 'a trial of a few steps failed, see above.')


def main() -> None:
    """Measures the config named on the command line and writes the speed beside it; null if the memory is short."""
    started, path = time.monotonic(), Path(sys.argv[1])
    from mmdecouple.runs.launch import running
    from mmdecouple.runs.startup import program

    found = None
    with program():
        config = load_config(str(path))
        config.merge_from_dict(dict(work_dir=str(path.parent / 'run'), launcher='none', log_level='ERROR'))
        config.visualizer.vis_backends = []
        config.default_hooks.checkpoint.interval = sys.maxsize
        loader = config.train_dataloader
        timer = StepTimer(2 + loader.num_workers * (loader.get('prefetch_factor') or 2))
        with suppress(torch.OutOfMemoryError), running(config) as runner:
            runner.register_hook(timer)
            with suppress(_Measured):
                runner.train()
            found = vars(timer.speed(started))
        write_json(path.with_name(_RESULT), found)


if __name__ == '__main__':
    main()
