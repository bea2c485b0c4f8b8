"""Measures one start with a long list of names, in this process: `list_start.py LIST_OR_FOLDER WORKERS` prints JSON."""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader, Dataset

from mmdecouple.datasets import EpochSampler, ImageDataset

_BATCH = 10_000
_PICKS = 100_000


def memory(process: int) -> dict[str, float]:
    """Returns the memory of a process in MiB: that of itself alone (USS) and with its share of shared pages (PSS)."""
    text = Path(f'/proc/{process}/smaps_rollup').read_text()
    kib = {key: int(value) for key, value in re.findall(r'^(\w+): +(\d+) kB$', text, re.M)}
    return dict(uss=(kib['Private_Clean'] + kib['Private_Dirty']) / 1024, pss=kib['Pss'] / 1024)


class Names(Dataset):
    """The lengths of the paths of a data set."""

    def __init__(self, inner: ImageDataset) -> None:
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, key: tuple[int, int]) -> int:
        return len(self.inner.paths[key[1]])


def growth_of_workers(dataset: ImageDataset, sampler: EpochSampler, workers: int) -> Iterator[dict[str, float]]:
    """Yields by how much each loader worker grows from its first to its last batch of an epoch."""
    loader = DataLoader(
        Names(dataset), _BATCH, sampler=sampler, num_workers=workers, collate_fn=sum, persistent_workers=True
    )
    batches = iter(loader)
    next(batches)
    processes = [worker.pid for worker in batches._workers]
    before = after = [memory(process) for process in processes]
    for number, _ in enumerate(batches, 2):
        if number == len(loader):
            after = [memory(process) for process in processes]
    for first, last in zip(before, after):
        yield {key: last[key] - first[key] for key in first}


def start(path: Path, workers: int) -> dict[str, object]:
    """Measures a start up to the first key of an epoch, reading names at random, and an epoch of loader workers."""
    before, begin = memory(os.getpid()), time.monotonic()
    place = dict(data_root=str(path)) if path.is_dir() else dict(data_root=str(path.parent), ann_file=path.name)
    dataset = ImageDataset([], max_bad_share=1.0, **place)
    sampler = EpochSampler(dataset, seed=0)
    next(iter(sampler))
    seconds, after = time.monotonic() - begin, memory(os.getpid())
    found: dict[str, object] = dict(seconds=seconds, **{key: after[key] - before[key] for key in before})
    picks = np.random.default_rng(0).integers(len(dataset), size=_PICKS).tolist()
    begin = time.process_time()
    for index in picks:
        dataset.paths[index]
    found['us_per_name'] = (time.process_time() - begin) / _PICKS * 1e6
    if workers:
        found['workers'] = list(growth_of_workers(dataset, sampler, workers))
    return found


if __name__ == '__main__':
    print(json.dumps(start(Path(sys.argv[1]), int(sys.argv[2]))))
