"""Progress of a demo over its whole length: `[2/4] training, 38 %, about 3 min left`."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mmdecouple.utils.progress import in_words


class Stage(NamedTuple):
    """Stage of the demo.

    Attributes:
        name: What is done.
        weight: Usual duration relative to the other stages, on any machine.
    """

    name: str
    weight: float


class Overall:
    """Estimate of the remaining time of all stages, from the measured progress of the current and the finished ones.

    The rest of the current stage is extrapolated from its own progress since the first report, without the start of its
    processes. Later stages are expected to be as much slower or faster than usual as those so far.

    Args:
        stages: All stages in order.
        before: Number of stages that another program has done, for the count.
        clock: Clock in seconds.
    """

    def __init__(self, stages: Sequence[Stage], before: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._stages, self._before, self._clock = stages, before, clock
        self._index = -1
        self._start = self._begun = clock()
        self._first: tuple[float, float] | None = None
        self._share = 0.0
        # Durations and weights of the finished stages, without those that had nothing to do.
        self._spent = self._done = 0.0

    def begin(self, name: str) -> None:
        """Enters the stage of this name."""
        now = self._clock()
        if self._share > 0:
            self._spent += now - self._begun
            self._done += self._stages[self._index].weight
        self._index = next(index for index, stage in enumerate(self._stages) if stage.name == name)
        self._begun, self._first, self._share = now, None, 0.0

    def update(self, share: float) -> None:
        """Reports the progress of the current stage.

        Args:
            share: Share that is done, in [0, 1].
        """
        if self._first is None:
            self._first = self._clock(), share
        self._share = share

    def seconds_left(self) -> float | None:
        """Returns the expected rest of the demo; None before anything was measured."""
        rest, scale = self._rest_of_stage()
        if scale is None:
            return None
        later = scale * sum(other.weight for other in self._stages[self._index + 1 :])
        if rest is None:
            usual = scale * self._stages[self._index].weight
            # A stage that has not reported yet is not about to end.
            rest = max(usual - (self._clock() - self._begun), usual / 4)
        return later + rest

    def minutes(self) -> float:
        """Returns the duration so far."""
        return (self._clock() - self._start) / 60

    def headline(self) -> str:
        """Returns the line for the reader; the share is that of the time."""
        number = f'[{self._index + 1 + self._before}/{len(self._stages) + self._before}]'
        name, left = self._stages[self._index].name, self.seconds_left()
        if left is None:
            return f'{number} {name}, 0 %, measuring the time'
        elapsed = self._clock() - self._start
        percent = min(int(100 * elapsed / (elapsed + left or 1)), 99)
        return f'{number} {name}, {percent} %, {in_words(left)} left'

    def _rest_of_stage(self) -> tuple[float | None, float | None]:
        """Returns the rest of the current stage and the durations relative to the weights, as far as they are known."""
        spent, done, rest = self._spent, self._done, None
        now = self._clock()
        if self._first is not None and self._share > self._first[1]:
            begun, share = self._first
            rest = (1 - self._share) * (now - begun) / (self._share - share)
            # What an earlier start of the demo has done of this stage took no time now.
            spent += now - self._begun + rest
            done += self._stages[self._index].weight * (1 - share)
        return rest, spent / done if done else None
