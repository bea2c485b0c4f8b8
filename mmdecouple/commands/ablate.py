"""Runs an ablation table: pre-trains and measures its rows, and prints the results next to the paper's.

Finished runs and measurements are kept and shared between tables; after an interruption, the same command continues.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdecouple.commands.options import Parser, add_device, add_out
from mmdecouple.commands.run_options import add_launcher, launch_of
from mmdecouple.utils.arguments import add_overrides, positive, seed

if TYPE_CHECKING:
    from rich.console import Console

    from mmdecouple.ablation.table import Table

SCALES = ('demo', 'full')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the options."""
    parser = Parser(__doc__)
    parser.add_argument('table', help='name of a table of configs/ablations/, such as mask_type, or a .yml file')
    parser.add_argument('--scale', choices=SCALES, default='demo', help='scale of the base configs (default: demo)')
    parser.add_argument(
        '--rows',
        nargs='+',
        default=[],
        metavar='PATTERN',
        help='rows, groups or group/row to run; * and ? are wildcards (default: all)',
    )
    parser.add_argument(
        '--settings', nargs='+', default=[], metavar='SETTING', help="settings to run (default: the table's)"
    )
    parser.add_argument('--seeds', nargs='+', type=seed, metavar='N', help="seeds to run (default: the table's)")
    parser.add_argument('--jobs', type=positive, metavar='N', default=1, help='number of runs in parallel (default: 1)')
    parser.add_argument(
        '--threads', type=positive, metavar='N', help='threads per run (default: number of cores / --jobs)'
    )
    add_launcher(parser)
    add_device(parser)
    add_out(parser, 'work_dirs/ablations', 'all runs and results')
    add_overrides(parser, 'overrides for every run')
    parser.add_argument('--show', action='store_true', help='print the results so far without running anything')
    parser.add_argument(
        '--publish',
        type=Path,
        metavar='DIR',
        help='print the results so far and add them to those in this folder, e.g. docs/results',
    )
    parser.add_argument(
        '--write-configs',
        action='store_true',
        help='write the full scale as separate configs, configs/ablations/TABLE/*.py, and exit',
    )
    args = parser.parse_args(argv)
    args.launch = launch_of(parser, args)
    if args.publish and args.cfg_options:
        parser.error('--publish requires unmodified rows; remove --cfg-options.')
    return args


def run(table: 'Table', args: argparse.Namespace, console: 'Console') -> None:
    """Fills the table with the missing runs and prints it."""
    from mmdecouple.ablation.fill import Filling
    from mmdecouple.ablation.table_text import print_table

    failures, start = [], time.monotonic()
    filling = Filling(table, args.scale, args.out.absolute(), args.cfg_options)
    runs = filling.plan(args.seeds, args.rows, args.settings, args.publish)
    if not args.show and args.publish is None:
        try:
            failures = filling.fill(runs, args.jobs, args.threads, args.launch, console)
        except KeyboardInterrupt:
            console.print('Stopped; all runs are saved. Run the same command to continue.')
            sys.exit(130)
    for out in filter(None, (filling.out, args.publish)):
        rows, file = filling.write(out)
    print_table(table, rows, args.scale, console)
    console.print(
        f'{len(rows)} of {len(filling.whole)} rows after {(time.monotonic() - start) / 60:.1f} min: {file}',
        highlight=False,
        soft_wrap=True,
    )
    for failure in failures:
        console.print('\n'.join(failure.tail), style='dim', markup=False, highlight=False)
        console.print(f'ablate: {failure}', markup=False, highlight=False, soft_wrap=True)
    if failures:
        sys.exit(1)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    from rich.console import Console

    from mmdecouple.ablation.row_configs import write_configs
    from mmdecouple.ablation.yaml_table import read_table
    from mmdecouple.runs.launch import choose_device
    from mmdecouple.runs.startup import program

    console = Console()
    with program():
        choose_device(args.device)
        table = read_table(args.table)
        if args.write_configs:
            for path in write_configs(table):
                console.print(path, highlight=False, soft_wrap=True)
        else:
            run(table, args, console)
