"""Checkpoint hook that always keeps the newest complete checkpoint."""

import inspect
import os
import os.path as osp
from collections import deque
from contextlib import suppress
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmdecouple.registry import HOOKS
from mmdecouple.runs.startup import prepare_process
from mmdecouple.utils.errors import UserError, shown
from mmdecouple.utils.files import write_text

_OUTDATED = 'outdated_ckpts'
_MAX_OUTDATED = 1000


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """mmengine's checkpoint hook that deletes an old checkpoint only after the new one is saved.

    mmengine deletes first, so that with one kept checkpoint, a run that is killed while it saves has none left. Each
    checkpoint lists those that were outdated when it was saved, so that a resumed run deletes the ones that a killed
    run left. The arguments are those of mmengine's `CheckpointHook`.

    Raises:
        UserError: An argument is unknown.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        unknown = sorted(set(kwargs) - set(inspect.signature(CheckpointHook).parameters))
        if unknown:
            raise UserError(
                f'DurableCheckpointHook has no argument {shown(unknown[0])} (config key '
                f'default_hooks.checkpoint.{unknown[0]}); remove it or correct its name.'
            )
        # Registers the back end for atomic writing, also for runners of other packages that use this hook.
        prepare_process()
        super().__init__(*args, **kwargs)

    def before_train(self, runner: Runner) -> None:
        """Deletes the outdated checkpoints that a resumed run left in the folder."""
        super().before_train(runner)
        known = runner.message_hub.runtime_info.get(_OUTDATED)
        same = isinstance(known, dict) and known.get('template') == self.filename_tmpl
        self._outdated = [step for step in known['steps'] if type(step) is int] if same else []
        if self.max_keep_ckpts > 0 and is_main_process():
            self._delete_outdated(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            steps = [*self.keep_ckpt_ids, step]
            self._outdated = [*self._outdated, *steps[: -self.max_keep_ckpts]][-_MAX_OUTDATED:]
            self.keep_ckpt_ids = deque(steps[-self.max_keep_ckpts :], self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
            runner.message_hub.update_info(_OUTDATED, dict(template=self.filename_tmpl, steps=list(self._outdated)))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        write_text(osp.join(runner.work_dir, 'last_checkpoint'), self.last_ckpt)
        if self.max_keep_ckpts > 0:
            self._delete_outdated(runner)
        with suppress(FileNotFoundError):
            os.remove(osp.join(runner.work_dir, 'interrupted.pth'))

    def _delete_outdated(self, runner: Runner) -> None:
        for step in self._outdated:
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
            if step in self.keep_ckpt_ids or not self.file_backend.isfile(path):
                continue
            try:
                self.file_backend.remove(path)
            except OSError as error:
                runner.logger.warning(f'The outdated checkpoint {path} cannot be deleted ({error.strerror}).')
