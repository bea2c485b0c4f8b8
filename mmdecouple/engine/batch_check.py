"""A learning rate belongs to a batch."""

from mmengine.runner import Runner


def tell_of_unscaled_batch(runner: Runner) -> None:
    """One warning if a run's batch is not the one that its learning rate is for, and nothing scales the rate.

    The batch is that of one step: images of a loader x processes x accumulated iterations. Configs that do not say
    which batch they are for (config key auto_scale_lr.base_batch_size) pass.

    Args:
        runner: Before the first step.
    """
    scale = runner.auto_scale_lr or {}
    base = scale.get('base_batch_size')
    if base is None or scale.get('enable', False):
        return
    images = runner.train_dataloader.batch_sampler.batch_size
    steps = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    batch = images * runner.world_size * steps
    if batch != base:
        accumulated = f' x {steps} accumulated iterations' if steps > 1 else ''
        runner.logger.warning(
            f'A step sees {images} images x {runner.world_size} processes{accumulated} = {batch}, but the learning '
            f'rate is for {base}: set auto_scale_lr.enable=True, which scales it by {batch / base:g}, or another '
            'train_dataloader.batch_size.'
        )
