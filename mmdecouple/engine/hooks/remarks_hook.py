"""Hook that logs the remarks of the pipelines about single images once per epoch."""

from collections import Counter
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.registry import HOOKS
from mmdecouple.utils.settings import Settings


@HOOKS.register_module()
class RemarksHook(Hook):
    """Counts the `remarks` of the samples of all workers and processes.

    Args:
        max_share: Largest fraction of the images, in [0, 1], up to which a remark is logged as information; above it,
            the remark is logged as a warning.

    Raises:
        SettingError: The fraction is out of range.
    """

    def __init__(self, max_share: float = 0.1) -> None:
        self.max_share = Settings(self, 'custom_hooks').number('max_share', max_share, 0, 1)
        self._counts: Counter[str] = Counter()
        self._images = 0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Counts the remarks of a batch; a repeated remark about one image counts once."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        if not samples or not hasattr(samples[0], 'remarks'):
            return
        self._images += len(samples)
        for sample in samples:
            self._counts.update(set(sample.remarks))

    def after_train_epoch(self, runner: Runner) -> None:
        """Logs the counts of all processes and resets them."""
        found = all_gather_object((self._images, self._counts))
        images, counts = sum(number for number, _ in found), sum((some for _, some in found), Counter())
        for remark, count in sorted(counts.items()):
            line = f'{count} of {images} images in this epoch: {remark}.'
            if count <= self.max_share * images:
                runner.logger.info(line)
            else:
                runner.logger.warning(
                    f'{line} This exceeds the fraction max_share={self.max_share}: check that the proposals belong to '
                    'these images, and check the scale of the crops.'
                )
        self._counts, self._images = Counter(), 0
