"""Measures the start, the memory and an epoch of a long list of names: `python tools/benchmark/lists.py --names 1e7`.

The list is generated; there are no images. Each start is a separate process, whose imports are not counted. An epoch
reads every name in the order of the sampler in loader workers, and decodes nothing.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from torch.utils.data import DataLoader, Dataset

from mmdecouple.datasets import EpochSampler, ImageDataset

_BATCH = 10_000


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--names', type=lambda text: int(float(text)), default=10**6, help='lines of the list')
    parser.add_argument('--workers', type=int, default=2, help='loader workers; 0 for no epoch (default: 2)')
    parser.add_argument('--folder', help='folder for the list and the cache, which are removed at the end')
    parser.add_argument('--start', type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_list(path: Path, names: int) -> None:
    """Writes the names of a data set of folders of 1000 images, 31 bytes each."""
    with path.open('w') as file:
        for first in range(0, names, 1000):
            folder = f'train/n{first // 1000:08}/n{first // 1000:08}'
            file.writelines(f'{folder}_{number:03}.jpg\n' for number in range(min(1000, names - first)))


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
    """Measures a start up to the first key of an epoch, in this process."""
    before, begin = memory(os.getpid()), time.monotonic()
    dataset = ImageDataset([], data_root=str(path.parent), ann_file=path.name, max_bad_share=1.0)
    sampler = EpochSampler(dataset, seed=0)
    next(iter(sampler))
    seconds, after = time.monotonic() - begin, memory(os.getpid())
    found: dict[str, object] = dict(seconds=seconds, **{key: after[key] - before[key] for key in before})
    if workers:
        begin = time.monotonic()
        found['workers'] = list(growth_of_workers(dataset, sampler, workers))
        found['epoch'] = time.monotonic() - begin
    return found


def in_new_process(path: Path, workers: int) -> dict:
    command = [sys.executable, __file__, '--start', path, '--workers', str(workers)]
    environment = dict(os.environ, MMDECOUPLE_CACHE=str(path.parent / 'cache'))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    args = parse_args()
    if args.start:
        print(json.dumps(start(args.start, args.workers)))
        return
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        path = folder / 'list.txt'
        write_list(path, args.names)
        time.sleep(3)  # a list that has just changed would be read again
        print(f'{args.names} names, {path.stat().st_size / 2**20:.0f} MiB')
        for title, workers in (('first start', 0), ('next start', 0), ('with an epoch', args.workers)):
            found = in_new_process(path, workers)
            print(f'{title}: {found["seconds"]:.2f} s, +{found["uss"]:.1f} MiB alone, +{found["pss"]:.1f} MiB shared')
        if args.workers:
            growth = ', '.join(f'{worker["uss"]:.1f} (PSS {worker["pss"]:.1f})' for worker in found['workers'])
            print(f'epoch: {found["epoch"]:.1f} s; growth of the workers in MiB: {growth}')
    finally:
        shutil.rmtree(folder)


if __name__ == '__main__':
    main()
