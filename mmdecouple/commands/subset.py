"""Writes lists of a few percent of COCO's training images, for the tasks coco-1pct, coco-5pct and coco-10pct.

Example:
    mmdecouple subset --data coco:data/coco --percent 1 5 10 --seeds 0 1 2

writes data/coco/annotations/instances_train2017_1pct_seed0.json and so on. Lists do not depend on the machine or
time, and the 1 % list is part of the 10 % list with the same seed. A transfer with
--seed 2 trains on the list of seed 2.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import integer, seed
from mmdecouple.utils.data_spec import image_files, read_spec
from mmdecouple.utils.files import check_writable, write_text

from . import options

_KINDS = ('coco', 'coco128', 'list')


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__, {'--list': '--data coco:ROOT or list:FILE', '--seed': '--seeds S ...'})
    options.add_data(parser, _KINDS, None, required=True)
    options.add_out(parser, None, 'the lists', 'that of the annotation file, where the tasks look for them')
    parser.add_argument(
        '--percent',
        type=integer(1, 100),
        nargs='+',
        default=[1, 5, 10],
        metavar='P',
        help='shares of the images in percent (default: 1 5 10)',
    )
    parser.add_argument(
        '--seeds', type=seed, nargs='+', default=[0], metavar='S', help='seeds of the lists (default: 0)'
    )
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    with program():
        source = Path(image_files(read_spec(args.data, _KINDS)).listing)
        out = args.out or source.parent
        targets = {
            (percent, number): out / f'{source.stem}_{percent}pct_seed{number}.json'
            for percent in args.percent
            for number in args.seeds
        }
        for target in targets.values():
            check_writable(target)
        from mmdecouple.datasets.coco_subset import read_annotations, take_fraction

        content = read_annotations(source)
        for (percent, number), target in targets.items():
            share = take_fraction(content, percent, number)
            write_text(target, json.dumps(share))
            print(f'{target}: {len(share["images"])} images, {len(share["annotations"])} objects')
