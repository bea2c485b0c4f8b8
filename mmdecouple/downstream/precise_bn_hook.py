"""Batch norm statistics of the final weights."""

from itertools import islice
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.registry import HOOKS
from mmdecouple.utils.errors import UserError


@HOOKS.register_module()
class PreciseBNHook(Hook):
    """Replaces running statistics after the last step with their mean over training batches at fixed weights.

    mean = 1/N sum of the batch means, var = 1/N sum of the (unbiased) batch variances, over N iterations and all
    processes. The batches pass through the model's `loss` in training mode without gradients, because the heads of
    detectors use sampled training proposals. The statistics are computed before the last checkpoint is saved and before
    the last validation; a run that is interrupted meanwhile repeats them from its last checkpoint. Norms in evaluation
    mode, and norms that no batch reaches, keep their statistics.

    Args:
        iterations: Number of iterations N, limited to one pass over the training data.

    Raises:
        UserError: `iterations` is below 1.

    Source: `PreciseBN` of detectron2 and `update_bn_stats` of fvcore, `TEST.PRECISE_BN.NUM_ITER: 200` in MoCo's
        configs.
    """

    def __init__(self, iterations: int = 200) -> None:
        if iterations < 1:
            raise UserError(
                f'PreciseBNHook: iterations must be at least 1, got {iterations} '
                '(config key custom_hooks, PreciseBNHook.iterations).'
            )
        self.iterations = iterations

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Computes the statistics after the last step."""
        if not self.is_last_train_iter(runner):
            return
        model = bare_model(runner)
        norms = [
            module
            for module in model.modules()
            if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
        ]
        if not norms:
            runner.logger.warning('PreciseBNHook: no batch norm of the model learns statistics; remove the hook.')
            return
        count = min(self.iterations, len(runner.train_dataloader))
        runner.logger.info(f'Precise batch norm: {len(norms)} norms over {count} training iterations.')
        self._measure(runner, model, norms, islice(_another(runner.train_dataloader), count))

    @torch.no_grad()
    def _measure(self, runner: Runner, model: nn.Module, norms: list[_BatchNorm], batches: islice) -> None:
        before = [(norm.momentum, {key: value.clone() for key, value in norm.named_buffers()}) for norm in norms]
        for norm in norms:
            # Without a momentum, torch computes the exact mean of all batches since the reset.
            norm.momentum = None
            norm.reset_running_stats()
        for batch in batches:
            with runner.optim_wrapper.optim_context(model):
                data = model.data_preprocessor(batch, True)
                model.loss(data['inputs'], data['data_samples'])
        for norm, (momentum, buffers) in zip(norms, before):
            norm.momentum = momentum
            seen = norm.num_batches_tracked.float()
            for statistic in (norm.running_mean, norm.running_var):
                statistic.mul_(seen)
                all_reduce(statistic)
            all_reduce(seen)
            if seen > 0:
                norm.running_mean.div_(seen)
                norm.running_var.div_(seen)
            else:
                norm.running_mean.copy_(buffers['running_mean'])
                norm.running_var.copy_(buffers['running_var'])
            norm.num_batches_tracked.copy_(buffers['num_batches_tracked'])


def _another(loader: DataLoader) -> DataLoader:
    """Returns a new loader of the same batches, which does not disturb the current epoch and its workers."""
    return DataLoader(
        loader.dataset,
        batch_sampler=loader.batch_sampler,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        worker_init_fn=loader.worker_init_fn,
        pin_memory=loader.pin_memory,
    )
