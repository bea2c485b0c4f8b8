"""Demonstrates de-coupling on built-in data: pre-trains, measures and compares small networks (`make demo`).

Trains the networks of one method from one seed, a few at a time, measures them and the untrained network, and writes
`report.html`. Finished runs are not repeated, interrupted ones continue.
"""

import argparse
import sys
from collections.abc import Sequence

from mmdecouple.commands.options import Parser, add_out, add_seed
from mmdecouple.demo.stories import STORIES


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the options."""
    parser = Parser(__doc__)
    parser.add_argument('--method', choices=STORIES, default='densecl', help='method to train (default: densecl)')
    add_seed(parser, 'all runs')
    add_out(
        parser, 'work_dirs/demo', 'the runs and the report; the report of a method other than densecl is in a subfolder'
    )
    parser.add_argument('--fresh', action='store_true', help='repeat finished runs')
    parser.add_argument('--quick', action='store_true', help='train for a few steps only, to test the installation')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    from rich.console import Console

    from mmdecouple.demo.run import Demo
    from mmdecouple.runs.jobs import JobFailed
    from mmdecouple.runs.startup import program
    from mmdecouple.utils.files import check_writable

    console = Console()
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


if __name__ == '__main__':
    main()
