"""Packs the images of a folder, a list or a COCO annotation file into tar shards with an index.

    python tools/dataset_tools/pack.py data/coco/annotations/instances_train2017.json --images data/coco/train2017 \
        --out data/coco-320 --shorter-side 320 --workers 16
    python tools/dataset_tools/pack.py --verify data/coco-320

The data set `ShardedImages` reads the pack with the same samples as `ImageDataset` reads the source. Without
--shorter-side the files are kept byte for byte. `mmdecouple/datasets/pack_format.py` describes the files.

Finished shards are kept: after an interruption the same command continues, and the pack is the same, byte for byte, as
without the interruption and with any number of workers.
"""

import argparse
import os
from pathlib import Path

from rich.console import Console

from mmdecouple.datasets.pack_format import UNREADABLE
from mmdecouple.datasets.pack_writing import Storage
from mmdecouple.datasets.packs import Pack
from mmdecouple.runs.packing import Packing, list_source, verify
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import byte_count, integer, positive
from mmdecouple.utils.files import check_writable


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', nargs='?', metavar='SPEC', help='image folder, list file or COCO annotation file')
    parser.add_argument(
        '--images', metavar='DIR', help='folder of the images of a list or COCO file (default: its own)'
    )
    parser.add_argument('--out', type=Path, metavar='DIR', help='folder to write; must be new, empty or unfinished')
    parser.add_argument('--shorter-side', type=positive, metavar='PIXELS', help='reduce and re-encode larger images')
    parser.add_argument('--quality', type=integer(1, 100), help='JPEG quality of reduced images (default 90)')
    parser.add_argument('--shard-size', type=byte_count, default='512MiB', metavar='SIZE', help='default %(default)s')
    parser.add_argument('--workers', type=positive, default=os.cpu_count(), metavar='N', help='number of processes')
    parser.add_argument('--verify', type=Path, metavar='DIR', help='check every image of a pack instead')
    args = parser.parse_args()
    if bool(args.verify) == bool(args.source) or bool(args.source) != bool(args.out):
        parser.error('give SPEC and --out, or --verify alone')
    if args.quality and not args.shorter_side:
        parser.error('--quality concerns reduced images; give --shorter-side as well')
    if args.images and args.source and os.path.isdir(args.source):
        parser.error('--images is for a list or a COCO file; SPEC is a folder')
    return args


def main() -> None:
    args, console = parse_args(), Console(highlight=False, soft_wrap=True)
    with program():
        if args.verify:
            print(f'{args.verify}: {verify(args.verify)} images have their checksums.')
            return
        check_writable(args.out / UNREADABLE)
        storage = Storage(args.shorter_side, args.quality or 90) if args.shorter_side else Storage()
        task = Packing(args.out, *list_source(args.source, args.images), storage, args.shard_size)
        try:
            unreadable = task.run(args.workers, console)
        except KeyboardInterrupt:
            console.print(f'Stopped; finished shards are kept in {args.out}; run the same command to continue.')
            raise SystemExit(130) from None
        pack = Pack(args.out)
        size = sum(path.stat().st_size for path in args.out.iterdir()) / 2**20
        listed = f'; {len(unreadable)} cannot be decoded and are listed in {UNREADABLE}' if unreadable else ''
        console.print(f'Wrote {args.out}: {len(pack)} images, {size:.1f} MiB{listed}.')


if __name__ == '__main__':
    main()
