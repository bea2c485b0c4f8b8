"""The sampler that tells each sample its epoch and can start inside one."""

import math
from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmdecouple.datasets.seeding import derive_seeds
from mmdecouple.registry import DATA_SAMPLERS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Yields (epoch, index) keys in an order that depends only on (seed, epoch).

    Each rank gets its share of the keys.

    Args:
        dataset: The data set to draw from; it must accept ``dataset[(epoch, index)]``, as
            ``SeededDataset`` does.
        shuffle: Whether each epoch has its own random order.
        seed: Seed of the order, the same on all ranks. None: one is agreed on (the runner passes
            the run's).
        round_up: Whether the first keys are repeated so that every rank gets equally many.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        if len(dataset) == 0:
            raise UserError(f'EpochSampler: {type(dataset).__name__} holds no sample.')
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
        """Chooses the epoch of the next iteration over the sampler."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Leaves out this rank's first ``num_samples`` keys, in the next iteration only."""
        self._skipped = num_samples

    def __len__(self) -> int:
        """Number of keys this rank gets in a whole epoch."""
        if self.round_up:
            return math.ceil(len(self.dataset) / self.world_size)
        return math.ceil((len(self.dataset) - self.rank) / self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        size = len(self.dataset)
        if self.shuffle:
            generator = torch.Generator()
            generator.manual_seed(derive_seeds(self.seed, self.epoch, stream='order')[0])
            order = torch.randperm(size, generator=generator).tolist()
        else:
            order = list(range(size))
        if self.round_up:
            total = len(self) * self.world_size
            order = (order * math.ceil(total / size))[:total]
        skipped, self._skipped = self._skipped, 0
        epoch = self.epoch
        return iter([(epoch, index) for index in order[self.rank :: self.world_size][skipped:]])
