"""A run that stands still ends."""

import math
from pathlib import Path
from typing import Any

from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.registry import HOOKS
from mmdecouple.runs.heartbeat import Heartbeat
from mmdecouple.runs.watchdog import Watchdog, still_moving
from mmdecouple.utils.settings import Settings

# The first step may compile the network.
_FIRST = 3.0


@HOOKS.register_module()
class WatchdogHook(Hook):
    """Ends all processes of a run in which one process, or a worker of its loader, stands still.

    The stacks of all threads, those of the workers included, are appended to ``stalled_rank<r>.txt`` in the work dir,
    one line goes to stderr, and the exit code is 75. A process that waits for a stalled one stands still itself, so
    that every rank reports.

    Args:
        timeout: Seconds without a step after which a process ends, > 0; None never. The first step may take three
            times as long.
        peer_timeout: Seconds after which another host that does not answer ends the run, > 0; None never.
    """

    priority = 'HIGHEST'

    def __init__(self, timeout: float | None = 600.0, peer_timeout: float | None = 40.0) -> None:
        check = Settings(self, 'custom_hooks')
        self.timeout = check.number('timeout', timeout, above=0, optional=True)
        self.peer_timeout = check.number('peer_timeout', peer_timeout, above=0, optional=True)
        self._watchdog: Watchdog | None = None
        self._first = -1

    def before_train(self, runner: Runner) -> None:
        """Begins to watch, before any worker starts."""
        self._first = runner.iter
        file = Path(runner.work_dir, f'stalled_rank{runner.rank}.txt')
        watchdog = Watchdog(self.timeout or math.inf, file, f'rank {runner.rank}')
        watchdog.beat('the start', _FIRST)
        watchdog.start(Heartbeat(self.peer_timeout, watchdog.end) if self.peer_timeout else None)
        self._watchdog = watchdog

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """A batch arrived."""
        if self._watchdog is not None:
            factor = _FIRST if runner.iter == self._first else 1.0
            self._watchdog.beat(f'the batch of iteration {runner.iter + 1}', factor)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """A step was taken."""
        if self._watchdog is not None:
            self._watchdog.beat(f'iteration {runner.iter + 1}')

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Validation moves."""
        still_moving('a batch of the validation')

    def after_run(self, runner: Runner) -> None:
        """Waits for all processes: one that left early would count as lost while another still saves."""
        if self._watchdog is not None:
            barrier()
