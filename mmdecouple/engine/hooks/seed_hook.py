"""Draws of a training step that do not depend on the steps before it."""

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

    Whatever the model draws (dropout, shuffles, initial queues) is then the same in a resumed run.
    A data preprocessor with ``set_step(seed, rank, iteration)`` gets the same three for a
    generator of its own.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seeds the step that is about to run."""
        key = runner.seed, get_rank(), runner.iter
        seed_global_generators(*key, stream='iteration')
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(*derive_seeds(*key, stream='iteration'))
        preprocessor = getattr(bare_model(runner), 'data_preprocessor', None)
        if hasattr(preprocessor, 'set_step'):
            preprocessor.set_step(*key)
