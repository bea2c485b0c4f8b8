"""Hook that makes the draws of a training step independent of earlier steps."""

from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.datasets.seeding import derive_seeds, seed_global_generators
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.registry import HOOKS


@HOOKS.register_module()
class SeedHook(Hook):
    """Seeds the global generators before every iteration from (run seed, rank, iteration).

    The draws of the model, such as dropout and shuffles, are then the same in a resumed run. If the data preprocessor
    has a method `set_step(seed, rank, iteration)`, it is called with the same values.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seeds the generators for the next step."""
        key = runner.seed, get_rank(), runner.iter
        seed_global_generators(*key, stream='iteration')
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(*derive_seeds(*key, stream='iteration'))
        preprocessor = getattr(bare_model(runner), 'data_preprocessor', None)
        if hasattr(preprocessor, 'set_step'):
            preprocessor.set_step(*key)
