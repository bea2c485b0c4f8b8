"""A run that would take no step, or measure nothing, is refused before it starts."""

from collections.abc import Sized
from typing import Any

from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader

from mmdecouple.utils.errors import UserError, shown


def check_length(train_cfg: dict[str, Any]) -> None:
    """Refuses a training that is to end before its first step.

    Args:
        train_cfg: Config of the training loop.

    Raises:
        UserError: `max_epochs`, or `max_iters`, is no whole number of at least 1.
    """
    for key in ('max_epochs', 'max_iters'):
        if key in train_cfg and (type(train_cfg[key]) is not int or train_cfg[key] < 1):
            raise UserError(f'train_cfg.{key} must be a whole number of at least 1, got {shown(train_cfg[key])}.')
    if not {'max_epochs', 'max_iters'} & train_cfg.keys():
        raise UserError('train_cfg names neither max_epochs nor max_iters: how long shall the run train?')


def check_batches(loader: DataLoader, key: str, processes: int) -> None:
    """Refuses data that make no batch.

    Args:
        loader: Built loader of one process.
        key: Config key of the loader, for the message.
        processes: Number of processes that share the data.

    Raises:
        UserError: The data set is empty, or smaller than the batch of all processes where that may not be cut.
    """
    if not isinstance(loader.dataset, Sized):
        return
    images = len(loader.dataset)
    if images == 0:
        raise UserError(
            f'{key}.dataset holds no image (after {key}.dataset.indices, if given): there is nothing to '
            'train on or to measure.'
        )
    batch = loader.batch_size
    too_few = loader.drop_last and batch is not None and images < batch * processes
    if too_few or (len(loader) == 0 and not isinstance(loader.sampler, InfiniteSampler)):
        raise UserError(
            f'An epoch has no whole batch: {images} images in {processes} process(es) for {key}.batch_size='
            f'{batch} ({key}.drop_last={loader.drop_last}); lower the batch size or add images.'
        )
