"""Data loaders whose data sets draw from the seed of the run."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdecouple.datasets.seeded import SeededDataset
from mmdecouple.runs.processes import start_worker
from mmdecouple.utils.configs import drop_worker_options


def seeded_loader(dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False) -> DataLoader:
    """Builds a data loader as mmengine does, and gives its data sets the seed.

    Args:
        dataloader: Loader, or its config.
        seed: Seed of the run.
        diff_rank_seed: As for mmengine's runner.
    """
    if isinstance(dataloader, dict):
        dataloader = dict(dataloader)
        drop_worker_options(dataloader)
        if isinstance(collate := dataloader.get('collate_fn'), dict):
            # mmengine adds a scope to the blocks of a base of another package, and passes it to the function.
            dataloader['collate_fn'] = {key: value for key, value in collate.items() if key != '_scope_'}
    loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
    for dataset in wrapped_datasets(loader.dataset):
        if isinstance(dataset, SeededDataset) and dataset.seed is None:
            dataset.seed = seed
    loader.worker_init_fn = partial(start_worker, loader.worker_init_fn)
    return loader


def wrapped_datasets(dataset: Any) -> Iterator[Any]:
    """Yields a data set and all data sets that it wraps."""
    yield dataset
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for wrapped in inner:
        if wrapped is not None:
            yield from wrapped_datasets(wrapped)
