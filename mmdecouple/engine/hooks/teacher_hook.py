"""The teacher follows the student after every real optimizer step."""
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.engine.hooks.unwrapping import bare_model, bare_optimizers
from mmdecouple.registry import HOOKS


@HOOKS.register_module()
class TeacherHook(Hook):
    """Calls ``model.update_teacher(iteration, max_iters)`` after each optimizer step.

    Iterations that only accumulate gradients, and steps that fp16 loss scaling skips, do not count
    as steps. A model with ``start_epoch(epoch)`` is told each epoch (from 0) before its first
    iteration, and before the first one after a resume; one with ``prepare_training()`` is called before it all.
    """

    priority = 'HIGH'

    def before_train(self, runner: Runner) -> None:
        """Watches the optimizers for real steps, and lets the model read what only training needs."""
        self._stepped = False
        model = bare_model(runner)
        if hasattr(model, 'prepare_training'):
            model.prepare_training()
        for optimizer in bare_optimizers(runner):
            optimizer.register_step_post_hook(self._note_step)

    def before_train_epoch(self, runner: Runner) -> None:
        """Lets the model set what depends on the epoch, such as the teacher's temperature."""
        model = bare_model(runner)
        if hasattr(model, 'start_epoch'):
            model.start_epoch(runner.epoch)

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Moves the teacher if the student moved."""
        model = bare_model(runner)
        if self._stepped and hasattr(model, 'update_teacher'):
            model.update_teacher(runner.iter, runner.max_iters)
        self._stepped = False

    def _note_step(self, *_: Any) -> None:
        self._stepped = True
