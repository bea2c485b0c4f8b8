"""Hook that updates the teacher and freezes parameters."""

import logging
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from mmdecouple.engine.hooks.unwrapping import bare_model, bare_optimizers, bare_wrappers
from mmdecouple.engine.optim_wrapper import PrecisionOptimWrapper
from mmdecouple.models.layers.epoch_dependent import epoch_dependent
from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError


@HOOKS.register_module()
class TeacherHook(Hook):
    """Calls `model.update_teacher(iteration, max_iters)` after each optimizer step.

    Iterations that only accumulate gradients, and steps that fp16 skips, do not count as steps. The hook also calls the
    following methods of the model, if they exist: `prepare_training()` once before training; `start_epoch(epoch)`
    before the first iteration of each epoch (from 0), and after a resume; `frozen(epoch)`, whose parameters are not
    updated in that epoch; `end_epoch(epoch)` once after the last iteration of each epoch, before a checkpoint of the
    end of that epoch is saved. In a loop by iteration, an epoch is as many iterations as the data loader has batches.
    """

    priority = 'HIGH'

    def before_train(self, runner: Runner) -> None:
        """Prepares the model for training, and registers hooks that detect optimizer steps."""
        self._stepped = False
        model = bare_model(runner)
        if hasattr(model, 'prepare_training'):
            model.prepare_training()
        for optimizer in bare_optimizers(runner):
            optimizer.register_step_post_hook(self._note_step)
        _warn_of_late_parts(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Starts the next epoch of a loop by iteration."""
        if not _by_epoch(runner) and runner.iter % len(runner.train_dataloader) == 0:
            self.before_train_epoch(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Starts the epoch of the model, and freezes its parameters for this epoch.

        Raises:
            UserError: The model freezes parameters, and the optimizer wrapper is not a `PrecisionOptimWrapper`.
        """
        model, epoch = bare_model(runner), _epoch(runner)
        if hasattr(model, 'start_epoch'):
            model.start_epoch(epoch)
            # The mode of parts depends on the epoch, and a loop by iteration sets it once.
            model.train()
        if hasattr(model, 'frozen'):
            _freeze(runner, tuple(model.frozen(epoch)))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Updates the teacher if the optimizer has made a step."""
        model = bare_model(runner)
        if self._stepped and hasattr(model, 'update_teacher'):
            model.update_teacher(runner.iter, runner.max_iters)
        self._stepped = False
        if not _by_epoch(runner) and (runner.iter + 1) % len(runner.train_dataloader) == 0:
            _end_epoch(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Ends the epoch of the model."""
        if _by_epoch(runner):
            _end_epoch(runner)

    def _note_step(self, *_: Any) -> None:
        self._stepped = True


def _by_epoch(runner: Runner) -> bool:
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _epoch(runner: Runner) -> int:
    return runner.epoch if _by_epoch(runner) else runner.iter // len(runner.train_dataloader)


def _end_epoch(runner: Runner) -> None:
    model = bare_model(runner)
    if hasattr(model, 'end_epoch'):
        model.end_epoch(_epoch(runner))


def _warn_of_late_parts(runner: Runner) -> None:
    epochs = -(-runner.max_iters // len(runner.train_dataloader))
    late = {
        setting: epoch
        for module in epoch_dependent(bare_model(runner))
        for setting, epoch in module.begins().items()
        if epoch >= epochs
    }
    for setting, epoch in late.items():
        print_log(
            f'{setting}: what it delays would begin with epoch {epoch} (from 0), but the run has {epochs} epochs: it '
            'never begins.',
            'current',
            logging.WARNING,
        )


def _freeze(runner: Runner, parameters: tuple[nn.Parameter, ...]) -> None:
    for wrapper in bare_wrappers(runner):
        if isinstance(wrapper, PrecisionOptimWrapper):
            wrapper.frozen = parameters
        elif parameters:
            raise UserError(
                f'TeacherHook: {type(bare_model(runner)).__name__} freezes parameters, which only '
                f'PrecisionOptimWrapper supports, got {type(wrapper).__name__} (config key optim_wrapper.type).'
            )
