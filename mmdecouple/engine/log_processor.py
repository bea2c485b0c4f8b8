"""Log values of losses: smoothed for reading, and unsmoothed."""

import re
from typing import Any

from mmengine.runner import LogProcessor

from mmdecouple.registry import LOG_PROCESSORS


@LOG_PROCESSORS.register_module()
class RawLogProcessor(LogProcessor):
    """mmengine's log processor, which also records the values of the last iteration.

    mmengine replaces each loss by its mean over the last `window_size` iterations. The unsmoothed value of `loss_x` is
    recorded as `raw/loss_x`; the terminal shows the mean only. `docs/logging.md` describes all scalars.
    """

    def get_log_after_iter(self, runner: Any, batch_idx: int, mode: str) -> tuple[dict, str]:
        """Returns the scalars of an iteration, and the line of the terminal."""
        tag, line = super().get_log_after_iter(runner, batch_idx, mode)
        if mode == 'train':
            for name, buffer in runner.message_hub.log_scalars.items():
                term = name.removeprefix('train/')
                if term != name and re.match(r'loss', term):
                    tag[f'raw/{term}'] = buffer.current()
        return tag, line
