"""Check of incompatible settings before the first step."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.registry import HOOKS


@HOOKS.register_module()
class DryRunHook(Hook):
    """Makes the draws of one step before training, on blank views of the actual sizes.

    Errors of the batch stages, the method or the branch (a batch of one image, a mask that does not divide the view or
    the dense output, a grid finer than the mask) are thus raised before the first step. The generator is seeded at
    every iteration, so that the draws of the run do not change.
    """

    def before_train(self, runner: Runner) -> None:
        """Prepares a blank batch.

        Raises:
            UserError: A setting does not fit, with its config key, or the last batch of an epoch has one image.
        """
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
