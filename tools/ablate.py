"""Runs an ablation table end to end and prints it beside the paper's: pre-train, measure, row.

What is trained and measured is kept: the same command goes on where it was stopped or killed, and tables share runs.
"""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from mmdecouple.ablation.fill import Filling
from mmdecouple.ablation.row_configs import write_configs
from mmdecouple.ablation.table import SCALES, Table
from mmdecouple.ablation.table_text import print_table
from mmdecouple.ablation.yaml_table import read_table, table_names
from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import add_overrides, positive, seed


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('table', help=f'of {", ".join(table_names())}, or a .yml file')
    parser.add_argument('--scale', choices=SCALES, default='demo', help='which bases to run (default: demo)')
    parser.add_argument(
        '--rows',
        nargs='+',
        default=[],
        metavar='PATTERN',
        help='rows, groups or group/row to run, with * and ?; default: all',
    )
    parser.add_argument('--settings', nargs='+', default=[], metavar='SETTING', help="default: the table's")
    parser.add_argument('--seeds', nargs='+', type=seed, help="default: the table's")
    parser.add_argument('--jobs', type=positive, default=1, help='runs at a time (default: 1)')
    parser.add_argument('--threads', type=positive, help='threads of each run (default: the cores by --jobs)')
    parser.add_argument(
        '--gpus', type=positive, default=1, help='processes that each training is spread over (default: 1)'
    )
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/ablations'),
        help='folder of all runs and results (default: work_dirs/ablations)',
    )
    add_overrides(parser, 'more overrides for every run')
    parser.add_argument('--show', action='store_true', help='print what has been measured so far, run nothing')
    parser.add_argument(
        '--publish',
        type=Path,
        metavar='FOLDER',
        help='print what has been measured so far and write it here too, such as into docs/results',
    )
    parser.add_argument(
        '--write-configs',
        action='store_true',
        help='write configs/ablations/TABLE/*.py, the full scale as configs of their own, and end',
    )
    args = parser.parse_args()
    if args.publish and args.cfg_options:
        parser.error('--publish takes rows as the table has them: leave out --cfg-options.')
    return args


def run(table: Table, args: argparse.Namespace, console: Console) -> None:
    """All that is missing of a table, then the table."""
    failures, start = [], time.monotonic()
    filling = Filling(table, args.scale, args.out.absolute(), args.cfg_options or {})
    runs = filling.plan(args.seeds, args.rows, args.settings)
    if not args.show and args.publish is None:
        try:
            failures = filling.fill(runs, args.jobs, args.threads, args.gpus, console)
        except KeyboardInterrupt:
            console.print('Stopped; every run has saved. The same command goes on from there.')
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


def main() -> None:
    args = parse_args()
    console = Console()
    with program():
        choose_device(args.device)
        table = read_table(args.table)
        if args.write_configs:
            for path in write_configs(table):
                console.print(path, highlight=False, soft_wrap=True)
        else:
            run(table, args, console)


if __name__ == '__main__':
    main()
