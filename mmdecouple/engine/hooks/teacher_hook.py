"""What the method asks of the run: its teacher moves with the steps, and what it freezes stands still."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmdecouple.engine.hooks.unwrapping import bare_model, bare_optimizers, bare_wrappers
from mmdecouple.engine.optim_wrapper import PrecisionOptimWrapper
from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError


@HOOKS.register_module()
class TeacherHook(Hook):
    """Calls ``model.update_teacher(iteration, max_iters)`` after each optimizer step.

    Iterations that only accumulate gradients, and steps that fp16 loss scaling skips, do not count
    as steps. A model with ``start_epoch(epoch)`` is told each epoch (from 0) before its first
    iteration, and before the first one after a resume; one with ``prepare_training()`` is called before it all.
    What ``frozen(epoch)`` of a model gives gets no gradient in that epoch.

    Raises:
        UserError: A model freezes parameters, and the optimizer wrapper is not `PrecisionOptimWrapper`.
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
        """Lets the model set what depends on the epoch: the teacher's temperature, or what is frozen."""
        model = bare_model(runner)
        if hasattr(model, 'start_epoch'):
            model.start_epoch(runner.epoch)
        if hasattr(model, 'frozen'):
            _freeze(runner, tuple(model.frozen(runner.epoch)))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Moves the teacher if the student moved."""
        model = bare_model(runner)
        if self._stepped and hasattr(model, 'update_teacher'):
            model.update_teacher(runner.iter, runner.max_iters)
        self._stepped = False

    def _note_step(self, *_: Any) -> None:
        self._stepped = True


def _freeze(runner: Runner, parameters: tuple[nn.Parameter, ...]) -> None:
    for wrapper in bare_wrappers(runner):
        if isinstance(wrapper, PrecisionOptimWrapper):
            wrapper.frozen = parameters
        elif parameters:
            raise UserError(
                'TeacherHook: only PrecisionOptimWrapper can freeze what '
                f'{type(bare_model(runner)).__name__} freezes, got {type(wrapper).__name__} (config key '
                'optim_wrapper.type).'
            )
