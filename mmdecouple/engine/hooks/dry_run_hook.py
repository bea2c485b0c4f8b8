"""Settings that do not fit together show before the first step, not in it."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.registry import HOOKS


@HOOKS.register_module()
class DryRunHook(Hook):
    """Makes the draws of one step, before training, on blank views of the real sizes.

    Whatever the batch stages, the method or the branch refuse (a batch of one, a mask that does not divide the view or
    the dense output, a grid finer than the mask) is refused here. The generator is seeded anew at every iteration, so
    the draws of the run do not change.

    Raises:
        UserError: From a batch stage, the method or the branch, with its config key; or for a last batch of one image.
    """

    def before_train(self, runner: Runner) -> None:
        """Prepares a blank batch."""
        model = bare_model(runner)
        if not hasattr(model, 'begin'):
            return
        loader = runner.train_dataloader
        rest = len(loader.sampler) % loader.batch_size
        smallest = loader.batch_size if loader.drop_last or not rest else rest
        count, sample = min(smallest, 2), loader.dataset[0]
        views = [torch.zeros(count, *view.shape, dtype=torch.uint8) for view in sample['inputs']]
        batch = dict(inputs=views, data_samples=[sample.get('data_samples')] * count)
        model.begin(**model.data_preprocessor(batch, True))
