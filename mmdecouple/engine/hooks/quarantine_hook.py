"""Hook that lists unreadable images, and stops the run if there are too many."""

import os.path as osp
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.locks import lock

FILE_NAME = 'unreadable_images.txt'


@HOOKS.register_module()
class QuarantineHook(Hook):
    """Collects the images that the data set could not read, from all workers and processes.

    Samples have the (path, reason) pairs in their field `unreadable`. Each path is written once to
    `unreadable_images.txt` in the work dir, also with several processes and after a resume, and logged once. The run
    stops if the fraction of unreadable images exceeds `max_bad_share` of the data set.
    """

    def before_train(self, runner: Runner) -> None:
        """Reads the limit of the data set."""
        self._path = osp.join(runner.work_dir, FILE_NAME)
        self._seen: set[str] = set()
        dataset = runner.train_loop.dataloader.dataset
        while hasattr(dataset, 'dataset'):
            dataset = dataset.dataset
        self._max_share = getattr(dataset, 'max_bad_share', 1.0)
        self._size = len(dataset)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Lists the images that were replaced in this batch.

        Raises:
            UserError: Too many images are unreadable.
        """
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        found = {
            path: reason
            for sample in samples or []
            for path, reason in getattr(sample, 'unreadable', ())
            if path not in self._seen
        }
        if not found:
            return
        self._seen.update(found)
        new, count = self._write(found)
        for path in new:
            runner.logger.warning(
                f'Unreadable image {path!r} ({found[path]}): replaced by the next one; {count} of {self._size} so far, '
                f'listed in {self._path}.'
            )
        if count > self._max_share * self._size:
            raise UserError(
                f'{count} of the {self._size} images cannot be read, more than max_bad_share={self._max_share} (config '
                f'key train_dataloader.dataset.max_bad_share); they are listed in {self._path}. Repair or remove them, '
                'or increase max_bad_share.'
            )

    def after_train_epoch(self, runner: Runner) -> None:
        """Logs the number of unreadable images."""
        if self._seen:
            runner.logger.info(f'{len(self._seen)} of {self._size} images could not be read.')

    def _write(self, found: dict[str, str]) -> tuple[list[str], int]:
        """Adds the paths that no process has listed yet; returns them, and the number of all listed paths."""
        with open(self._path, 'a+') as file:
            lock(file)
            file.seek(0)
            whole, _, torn = file.read().rpartition('\n')
            if torn:
                # A process was killed while it wrote this line.
                file.truncate(len(f'{whole}\n'.encode(file.encoding)) if whole else 0)
            listed = {line.split('\t')[0] for line in whole.splitlines()}
            new = [path for path in found if path not in listed]
            file.writelines(f'{path}\t{found[path]}\n' for path in new)
        return new, len(listed) + len(new)
