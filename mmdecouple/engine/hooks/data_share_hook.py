"""Hook that logs which share of the time of a step is spent waiting for data."""

from typing import Any

from mmengine.hooks import IterTimerHook
from mmengine.runner import Runner

from mmdecouple.registry import HOOKS


@HOOKS.register_module()
class DataShareTimerHook(IterTimerHook):
    """mmengine's timer, which also logs `data_share`: the sum of `data_time` divided by the sum of `time`.

    Both sums are over the last iterations, as many as `log_processor.window_size`. The share is 0 if batches are always
    ready in time, and approaches 1 if the loader determines the speed. The times are those of the host, which are
    measured without waiting for the device.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Logs the times of an iteration and their share."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        window = runner.log_processor.window_size
        waited, whole = (
            runner.message_hub.get_scalar(f'train/{name}').data[0][-window:].sum() for name in ('data_time', 'time')
        )
        # A step of zero seconds is possible with a coarse clock.
        runner.message_hub.update_scalar('train/data_share', float(waited / whole) if whole else 0.0)
