"""Measures time and memory for opening COCO's annotations: `python tools/benchmark/annotations.py --share 0.3`.

The file is generated with the average numbers of images, objects, crowds and digits of instances_train2017.json; each
reader opens it in a separate process.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from coco_file import write_coco

from mmdecouple.commands import options
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, real
from mmdecouple.utils.data_spec import image_files, read_spec

KINDS = ('coco', 'coco128', 'list')


def parser() -> options.Parser:
    parser = options.Parser(__doc__, {'--file': '--data list:FILE'})
    options.add_data(parser, KINDS, 'a generated file')
    parser.add_argument(
        '--share', type=real(1e-4, 10), default=0.3, metavar='X', help="share of COCO's images (default: 0.3)"
    )
    parser.add_argument(
        '--rounds',
        type=positive,
        default=3,
        metavar='N',
        help='number of times each reader opens the file (default: 3)',
    )
    parser.add_argument('--only', choices=READERS, help='open the file with one reader, in this process')
    return parser


def open_by_json(path: Path) -> object:
    """What the standard library makes of it, unchecked."""
    return json.loads(path.read_text())


def open_as_objects(path: Path) -> object:
    """The data set of the measures; no image is asked for at a remote prefix."""
    from mmdecouple.datasets import CocoObjects

    return CocoObjects(str(path), 's3://bucket')


def open_as_images(path: Path) -> object:
    """File names for training."""
    from mmdecouple.datasets.listing import list_images

    return list_images('', str(path), 's3://bucket')


READERS = dict(json=open_by_json, objects=open_as_objects, images=open_as_images)


def measure(path: Path, reader: str) -> tuple[float, float]:
    """Processor seconds to open the file, and peak memory beyond that of the imports, in MiB; in its own process."""
    command = [sys.executable, __file__, '--data', f'list:{path}', '--only', reader]
    with tempfile.TemporaryDirectory() as cache:  # where names would be kept that another process has read
        environment = dict(os.environ, MMDECOUPLE_CACHE=cache)
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    seconds, memory = done.stdout.split()[-2:]
    return float(seconds), float(memory)


def main() -> None:
    args = parser().parse_args()
    with program():
        given = Path(image_files(read_spec(args.data, KINDS)).listing) if args.data else None
    if args.only:
        from mmdecouple.datasets import CocoObjects  # noqa: F401  the imports are no part of what is measured

        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        result = READERS[args.only](given)
        seconds = time.process_time() - start
        print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
        del result
        return
    with tempfile.TemporaryDirectory() as folder:
        path = given or Path(folder) / 'instances.json'
        if given is None:
            write_coco(path, args.share)
        print(f'{path.stat().st_size / 1e6:.0f} MB')
        for reader in READERS:
            runs = [measure(path, reader) for _ in range(args.rounds)]
            print(f'{reader:8} best {min(s for s, _ in runs):6.2f} s  peak {max(m for _, m in runs):6.0f} MiB')


if __name__ == '__main__':
    main()
