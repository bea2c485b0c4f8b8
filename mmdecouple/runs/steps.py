"""Checks before the start of a run that it has steps to take and data to measure."""

from collections.abc import Sized
from typing import Any

from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader

from mmdecouple.utils.errors import UserError, shown


def check_length(train_cfg: dict[str, Any]) -> None:
    """Checks that a training takes at least one step.

    Args:
        train_cfg: Config of the training loop.

    Raises:
        UserError: `max_epochs` or `max_iters` is not a whole number of at least 1, or both are missing.
    """
    for key in ('max_epochs', 'max_iters'):
        if key in train_cfg and (type(train_cfg[key]) is not int or train_cfg[key] < 1):
            raise UserError(f'train_cfg.{key} must be a whole number of at least 1, got {shown(train_cfg[key])}.')
    if not {'max_epochs', 'max_iters'} & train_cfg.keys():
        raise UserError('train_cfg has neither max_epochs nor max_iters; set one of them.')


def check_batches(loader: DataLoader, key: str, processes: int) -> None:
    """Checks that the data fill at least one batch.

    Args:
        loader: Data loader of one process.
        key: Config key of the loader, for the message.
        processes: Number of processes that share the data.

    Raises:
        UserError: The data set is empty, or smaller than the batch of all processes while `drop_last` is set.
    """
    if not isinstance(loader.dataset, Sized):
        return
    images = len(loader.dataset)
    if images == 0:
        raise UserError(
            f'{key}.dataset holds no image (after {key}.dataset.indices, if given); check its folder and '
            'its annotations.'
        )
    batch = loader.batch_size
    too_few = loader.drop_last and batch is not None and images < batch * processes
    if too_few or (len(loader) == 0 and not isinstance(loader.sampler, InfiniteSampler)):
        raise UserError(
            f'An epoch has no complete batch: {images} images in {processes} process(es) for {key}.batch_size='
            f'{batch} ({key}.drop_last={loader.drop_last}); lower the batch size or add images.'
        )
