"""Packs the images of a folder, a list or COCO into tar shards with an index.

Examples:
    mmdecouple pack --data coco:data/coco --out data/coco-320 --shorter-side 320 --workers 16
    mmdecouple pack --data pack:data/coco-320 --verify

The data set `ShardedImages` reads the pack with the same samples as `ImageDataset` reads the source. Without
--shorter-side the files are kept byte for byte. `mmdecouple/datasets/pack_format.py` describes the files.

Finished shards are kept: after an interruption the same command continues, and the pack is the same, byte for byte, as
without the interruption and with any number of workers.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import byte_count, integer, positive
from mmdecouple.utils.data_spec import FILES, DataSpec, read_spec
from mmdecouple.utils.files import check_writable

from . import options


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    options.add_data(parser, (*FILES, 'pack'), None, required=True)
    options.add_out(parser, None, 'the pack; new, empty or unfinished', 'required, but not with --verify')
    parser.add_argument(
        '--verify', action='store_true', help='check every image of a finished pack (--data pack:DIR) instead'
    )
    parser.add_argument('--shorter-side', type=positive, metavar='PIXELS', help='reduce and re-encode larger images')
    parser.add_argument(
        '--quality', type=integer(1, 100), metavar='N', help='JPEG quality of reduced images (default: 90)'
    )
    parser.add_argument(
        '--shard-size',
        type=byte_count,
        default='512MiB',
        metavar='SIZE',
        help='largest size of a shard (default: 512MiB)',
    )
    options.add_workers(parser, 'read and encode images', None)
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    read = parser()
    args = read.parse_args(argv)
    if args.verify == bool(args.out):
        read.error('give --data and --out to pack, or --data pack:DIR and --verify to check')
    if args.quality and not args.shorter_side:
        read.error('--quality concerns reduced images; give --shorter-side as well')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    with program():
        data = read_spec(args.data, ('pack',) if args.verify else FILES)
        if args.verify:
            from mmdecouple.runs.packing import verify

            print(f'{data.path}: {verify(Path(data.path))} images have their checksums.')
        else:
            _pack(data, args)


def _pack(data: DataSpec, args: argparse.Namespace) -> None:
    from mmdecouple.datasets.pack_format import UNREADABLE
    from mmdecouple.datasets.pack_writing import Storage
    from mmdecouple.datasets.packs import Pack
    from mmdecouple.runs.packing import Packing, list_source

    console = Console(highlight=False, soft_wrap=True)
    check_writable(args.out / UNREADABLE)
    storage = Storage(args.shorter_side, args.quality or 90) if args.shorter_side else Storage()
    task = Packing(args.out, *list_source(data), storage, args.shard_size)
    try:
        unreadable = task.run(max(args.workers, 1), console)
    except KeyboardInterrupt:
        console.print(f'Stopped; finished shards are kept in {args.out}; run the same command to continue.')
        raise SystemExit(130) from None
    pack = Pack(args.out)
    size = sum(path.stat().st_size for path in args.out.iterdir()) / 2**20
    listed = f'; {len(unreadable)} cannot be decoded and are listed in {UNREADABLE}' if unreadable else ''
    console.print(f'Wrote {args.out}: {len(pack)} images, {size:.1f} MiB{listed}.')
