"""Parameters that stand still during the first epochs."""
from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.engine.optim_wrapper import PrecisionOptimWrapper
from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError


@HOOKS.register_module()
class FreezeHook(Hook):
    """Drops the gradients of some parameters before each step of the first epochs.

    Epochs count from the start of the run, also after a resume. iBOT holds its `last_layer` for one epoch.

    Args:
        keys: Parameters whose name contains one of these stand still.
        epochs: For how many epochs.

    Raises:
        ValueError: If a key is in no trainable parameter's name, or the optimizer wrapper is of another type than
            `PrecisionOptimWrapper`.

    Source: `cancel_gradients_last_layer` of facebookresearch/dino (utils.py).
    """

    def __init__(self, keys: Sequence[str], epochs: int = 1) -> None:
        self.keys, self.epochs = tuple(keys), epochs

    def before_train(self, runner: Runner) -> None:
        """Finds the parameters."""
        if not isinstance(runner.optim_wrapper, PrecisionOptimWrapper):
            raise UserError('FreezeHook: only PrecisionOptimWrapper can drop gradients, got '
                            f'{type(runner.optim_wrapper).__name__} (config key optim_wrapper.type).')
        trained = {name: p for name, p in bare_model(runner).named_parameters() if p.requires_grad}
        for key in self.keys:
            if not any(key in name for name in trained):
                raise UserError(f'FreezeHook: no trainable parameter has {key!r} in its name '
                                '(config key custom_hooks, FreezeHook.keys).')
        self._held = [p for name, p in trained.items() if any(key in name for key in self.keys)]

    def before_train_epoch(self, runner: Runner) -> None:
        """Holds them, or lets them go."""
        runner.optim_wrapper.frozen = self._held if runner.epoch < self.epochs else ()
