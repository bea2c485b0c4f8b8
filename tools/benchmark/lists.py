"""Measures the start and memory of a run with a long list of names: `python tools/benchmark/lists.py --count 1e7`.

The list is generated; there are no images. Each start is a separate process, whose imports are not counted. An epoch
reads every name in the order of the sampler in loader workers, and decodes nothing.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mmdecouple.commands import options
from mmdecouple.utils.arguments import real

_START = Path(__file__).with_name('list_start.py')


def parser() -> options.Parser:
    parser = options.Parser(__doc__, {'--names': '--count N', '--folder': '--scratch DIR'})
    parser.add_argument('--count', type=real(1), default=1e6, metavar='N', help='number of names (default: 1e6)')
    parser.add_argument('--walk', action='store_true', help='search a folder of empty files instead of reading a list')
    options.add_workers(parser, 'load images; 0 for no epoch', 2)
    parser.add_argument(
        '--scratch', metavar='DIR', help='place for the list and the cache, which are removed at the end'
    )
    return parser


def folder_of(number: int) -> str:
    return f'train/n{number:08}'


def write_list(path: Path, names: int) -> None:
    """Writes the names of a data set of folders of 1000 images, 33 bytes each."""
    with path.open('w') as file:
        for first in range(0, names, 1000):
            folder = f'{folder_of(first // 1000)}/n{first // 1000:08}'
            file.writelines(f'{folder}_{number:03}.jpg\n' for number in range(min(1000, names - first)))


def write_files(path: Path, names: int) -> None:
    """Creates empty files with the names of `write_list`."""
    for first in range(0, names, 1000):
        folder = path / folder_of(first // 1000)
        folder.mkdir(parents=True)
        for number in range(min(1000, names - first)):
            (folder / f'{folder.name}_{number:03}.jpg').touch()


def in_new_process(path: Path, workers: int) -> dict:
    environment = dict(os.environ, MMDECOUPLE_CACHE=str(path.parent / 'cache'))
    command = [sys.executable, _START, path, str(workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    args = parser().parse_args()
    folder, names = Path(tempfile.mkdtemp(dir=args.scratch)), int(args.count)
    try:
        path = folder / ('images' if args.walk else 'list.txt')
        (write_files if args.walk else write_list)(path, names)
        time.sleep(3)  # what has just changed would be read again at the next start
        print(f'{names} names', flush=True)
        for title, workers in (('first start', 0), ('next start', 0), ('with an epoch', args.workers)):
            found = in_new_process(path, workers)
            print(f'{title}: {found["seconds"]:.2f} s, {found["uss"]:+.1f} MiB (PSS {found["pss"]:+.1f})', flush=True)
        print(f'processor time to read a name: {found["us_per_name"]:.1f} us')
        if args.workers:
            growth = ', '.join(f'{worker["uss"]:+.1f} (PSS {worker["pss"]:+.1f})' for worker in found['workers'])
            print(f'growth of the workers over an epoch in MiB: {growth}')
    finally:
        shutil.rmtree(folder)


if __name__ == '__main__':
    main()
