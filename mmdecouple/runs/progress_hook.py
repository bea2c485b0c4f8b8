"""Hook that reports the progress of a training to the process that started it."""

import os

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.utils.progress import Lines

# Set by `Job`, which reads the output; the log of mmengine is not machine-readable.
ASKED = 'MMDECOUPLE_PROGRESS'


class ProgressHook(Hook):
    """Prints the number of iterations done, out of those of the whole training, as JSON lines."""

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Reports the iterations that a resumed run has done before."""
        self._show = Lines()
        self._report(runner, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """Reports an iteration."""
        self._report(runner, runner.iter + 1)

    def _report(self, runner: Runner, done: int) -> None:
        if is_main_process():
            self._show('training', done, runner.max_iters)


def report_if_asked(runner: Runner) -> None:
    """Registers the hook if the process that started this one reads the progress in its output."""
    if os.environ.get(ASKED) == '1':
        runner.register_hook(ProgressHook())
