"""The progress of a training that another process started and shows."""

import os

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .progress import Lines

# Set by `Job`: its output is read, and a log of mmengine says nothing that is meant for programs.
ASKED = 'MMDECOUPLE_PROGRESS'


class ProgressHook(Hook):
    """Prints the iterations done over those of the whole training, as JSON lines."""

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Begins with the iterations that a resumed run has done."""
        self._show = Lines()
        self._report(runner, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """Counts an iteration."""
        self._report(runner, runner.iter + 1)

    def _report(self, runner: Runner, done: int) -> None:
        if is_main_process():
            self._show('training', done, runner.max_iters)


def report_if_asked(runner: Runner) -> None:
    """Registers the hook if whoever started this process reads its output for progress."""
    if os.environ.get(ASKED) == '1':
        runner.register_hook(ProgressHook())
