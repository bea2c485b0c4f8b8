"""Writes lists of a few percent of COCO's training images, for the tasks coco-1pct, coco-5pct and coco-10pct.

    python tools/dataset_tools/coco_subset.py data/coco --percent 1 5 10 --seed 0 1 2

writes data/coco/annotations/instances_train2017_1pct_seed0.json and so on. Lists do not depend on the machine or
time, and the 1 % list is part of the 10 % list with the same seed. `transfer.py --seed 2` trains on the list of seed 2.
"""

import argparse
import json
from pathlib import Path

from mmdecouple.datasets.coco_subset import read_annotations, take_fraction
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import integer, seed
from mmdecouple.utils.files import check_writable, write_text


def main() -> None:
    with program():
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument('root', type=Path, help='COCO folder')
        parser.add_argument('--percent', type=integer(1, 100), nargs='+', default=[1, 5, 10], metavar='P')
        parser.add_argument('--seed', type=seed, nargs='+', default=[0], metavar='S')
        parser.add_argument(
            '--list',
            default='annotations/instances_train2017.json',
            metavar='FILE',
            help='annotation file, relative to the folder (default %(default)s)',
        )
        args = parser.parse_args()
        source = args.root / args.list
        targets = {
            (percent, number): source.with_name(f'{source.stem}_{percent}pct_seed{number}.json')
            for percent in args.percent
            for number in args.seed
        }
        for target in targets.values():
            check_writable(target)
        content = read_annotations(source)
        for (percent, number), target in targets.items():
            share = take_fraction(content, percent, number)
            write_text(target, json.dumps(share))
            print(f'{target}: {len(share["images"])} images, {len(share["annotations"])} objects')


if __name__ == '__main__':
    main()
