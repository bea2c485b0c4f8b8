"""Sampler that yields keys with their epoch and can start inside an epoch."""

import math
from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmdecouple.datasets.epoch_order import EpochOrder, order_rule
from mmdecouple.datasets.seeded import DATASET
from mmdecouple.registry import DATA_SAMPLERS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

_BLOCK = 4096


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Yields (epoch, index) keys in an order that depends only on (seed, epoch); see `EpochOrder`.

    The keys are distributed over the ranks in turn. They are computed while they are used, so that neither the memory
    nor the time to the first key, also after `skip`, grows with the size of a large data set.

    Args:
        dataset: Data set that accepts `dataset[(epoch, index)]`, such as a `SeededDataset`.
        shuffle: Whether each epoch has a random order.
        seed: Seed of the order, the same on all ranks; None draws a common one (the runner passes the seed of the run).
        round_up: Whether the first keys are repeated so that every rank gets the same number of keys.

    Raises:
        UserError: The data set is empty, or a value is out of range.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        if len(dataset) == 0:
            raise UserError(f'EpochSampler: {type(dataset).__name__} has no samples (config key {DATASET}).')
        check = Settings(self, 'train_dataloader.sampler')
        check.flag('shuffle', shuffle)
        check.flag('round_up', round_up)
        check.number('seed', seed, 0, whole=True, optional=True)
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.round_up = round_up
        self.epoch = 0
        self._skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next iteration over the sampler."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Skips the first `num_samples` keys of this rank in the next iteration over the sampler only."""
        self._skipped = num_samples

    def __len__(self) -> int:
        """Returns the number of keys of this rank in a complete epoch."""
        if self.round_up:
            return math.ceil(len(self.dataset) / self.world_size)
        return math.ceil((len(self.dataset) - self.rank) / self.world_size)

    @property
    def rule(self) -> str:
        """Name of the rule that gives the order of an epoch; see `order_rule`."""
        return order_rule(len(self.dataset), self.shuffle)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        skipped, self._skipped = self._skipped, 0
        return self._keys(self.epoch, skipped, len(self))

    def _keys(self, epoch: int, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Yields the keys of this rank from its `first` to before its `end`, computed in blocks of `_BLOCK`."""
        size = len(self.dataset)
        order = EpochOrder(size, self.seed, epoch, self.shuffle)
        for start in range(first, end, _BLOCK):
            own = np.arange(start, min(start + _BLOCK, end), dtype=np.int64)
            indices = order.at((own * self.world_size + self.rank) % size)
            yield from ((epoch, index) for index in indices.tolist())
