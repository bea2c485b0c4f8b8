"""Hook that logs which share of the time of a step is spent waiting for data."""

from typing import Any

from mmengine.hooks import IterTimerHook
from mmengine.runner import Runner

from mmdecouple.registry import HOOKS


@HOOKS.register_module()
class DataShareTimerHook(IterTimerHook):
    """mmengine's timer, which also logs `data_share`: the sum of `data_time` divided by the sum of `time`.

    Both sums are over the window of the log (`log_processor.window_size`). The share is 0 if batches are always ready
    in time, and approaches 1 if the loader determines the speed. The times are those of the host, which are measured
    without waiting for the device.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Logs the times of an iteration and their share."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        waited, whole = (runner.message_hub.get_scalar(f'train/{name}').current() for name in ('data_time', 'time'))
        # The log divides the sum of the values by the sum of the counts, which must be whole numbers: nanoseconds.
        runner.message_hub.update_scalar('train/data_share', 1e9 * waited, count=max(1, round(1e9 * whole)))
