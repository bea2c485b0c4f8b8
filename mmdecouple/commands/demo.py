"""Demonstrates de-coupling on built-in data: pre-trains, measures and compares small networks (`make demo`).

Trains the networks of one method from one seed, a few at a time, measures them and the untrained network, and writes
`report.html`. Finished runs are not repeated, interrupted ones continue.
"""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from mmdecouple.demo.run import Demo
from mmdecouple.demo.stories import STORIES
from mmdecouple.runs.jobs import JobFailed
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import seed
from mmdecouple.utils.files import check_writable


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--method', choices=STORIES, default='densecl', help='method to train (default: densecl)')
    parser.add_argument('--seed', type=seed, default=0, help='seed of all runs (default: 0)')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/demo'),
        help='folder of the runs and the report; the report of a method other than densecl is in a '
        'subfolder (default: work_dirs/demo)',
    )
    parser.add_argument('--fresh', action='store_true', help='repeat finished runs')
    parser.add_argument('--quick', action='store_true', help='train for a few steps only, to test the installation')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    console, start = Console(), time.monotonic()
    demo = Demo(STORIES[args.method], args.out, args.seed, args.fresh, args.quick, console)
    with program():
        check_writable(args.out / demo.story.report / 'report.html')
        try:
            demo.run()
        except JobFailed as error:
            console.print('\n'.join(error.tail), style='dim', markup=False, highlight=False)
            sys.exit(f'demo: {error}')
        except KeyboardInterrupt:
            console.print('Stopped; all runs are saved. Run the same command to continue.')
            sys.exit(130)
    console.print(f'Done in {(time.monotonic() - start) / 60:.1f} min.', highlight=False)


if __name__ == '__main__':
    main()
