"""Check that the learning rate belongs to the batch size of a run."""

from mmengine.runner import Runner


def warn_of_unscaled_batch(runner: Runner) -> None:
    """Logs a warning if the batch size differs from that of the learning rate, and the rate is not scaled.

    The batch size is that of one step: images per loader x processes x accumulated iterations. Nothing is logged if the
    config does not set auto_scale_lr.base_batch_size.

    Args:
        runner: Runner before its first step.
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
            f'The batch of a step is {images} images x {runner.world_size} processes{accumulated} = {batch}, but the '
            f'learning rate is for {base}: set auto_scale_lr.enable=True, which scales it by {batch / base:g}, or '
            'change train_dataloader.batch_size.'
        )
