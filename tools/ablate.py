"""Runs an ablation table end to end and prints it beside the paper's: pre-train, measure, row.

What is trained and measured is kept: the same command goes on where it was stopped or killed, and tables share runs.
"""
import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmdecouple.ablation.configs import write_configs
from mmdecouple.ablation.figure import write_figures
from mmdecouple.ablation.plan import Run, check_batch, plan_runs
from mmdecouple.ablation.render import markdown, print_table
from mmdecouple.ablation.rows import raw_rows, read_seeds, write_rows
from mmdecouple.ablation.running import alone_in, jobs_of
from mmdecouple.ablation.table import SCALES, Table
from mmdecouple.ablation.yaml_table import read_table, table_names
from mmdecouple.utils.arguments import add_overrides, positive, seed
from mmdecouple.utils.errors import one_line_errors
from mmdecouple.utils.files import write_bytes
from mmdecouple.utils.jobs import run_jobs
from mmdecouple.utils.launch import choose_device

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('table', help=f'of {", ".join(table_names())}, or a .yml file')
    parser.add_argument('--scale', choices=SCALES, default='demo', help='which bases to run (default: demo)')
    parser.add_argument('--rows', nargs='+', default=[], metavar='PATTERN',
                        help='rows, groups or group/row to run, with * and ?; default: all')
    parser.add_argument('--settings', nargs='+', default=[], metavar='SETTING', help="default: the table's")
    parser.add_argument('--seeds', nargs='+', type=seed, help="default: the table's")
    parser.add_argument('--jobs', type=positive, default=1, help='runs at a time (default: 1)')
    parser.add_argument('--threads', type=positive, help='threads of each run (default: the cores by --jobs)')
    parser.add_argument('--gpus', type=positive, default=1,
                        help='processes that each training is spread over (default: 1)')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/ablations'),
                        help='folder of all runs and results (default: work_dirs/ablations)')
    add_overrides(parser, 'more overrides for every run')
    parser.add_argument('--resume', action='store_true', help='what is done anyway: go on with what is there')
    parser.add_argument('--show', action='store_true', help='print what has been measured so far, run nothing')
    parser.add_argument('--publish', type=Path, metavar='FOLDER',
                        help='print what has been measured so far and write it here too, such as into docs/results')
    parser.add_argument('--write-configs', action='store_true',
                        help='write configs/ablations/TABLE/*.py, the full scale as configs of their own, and end')
    args = parser.parse_args()
    if args.publish and args.cfg_options:
        parser.error('--publish takes rows as the table has them: leave out --cfg-options.')
    return args


def results_folder(table: Table, args: argparse.Namespace, out: Path) -> Path:
    """`TABLE/SCALE`, or one of its own for the overrides of `--cfg-options`."""
    options = json.dumps(args.cfg_options, sort_keys=True, default=str).encode()
    changed = f'-{hashlib.sha256(options).hexdigest()[:8]}' if args.cfg_options else ''
    return out / table.name / f'{args.scale}{changed}'


def write_results(table: Table, scale: str, runs: Sequence[Run], folder: Path) -> list[dict]:
    """Raw rows, table and figures of what has been measured."""
    rows = raw_rows(table, scale, runs)
    write_rows(folder / 'rows.jsonl', rows)
    write_bytes(folder / 'table.md', markdown(table, rows, scale).encode())
    write_figures(table, rows, scale, folder)
    return rows


def run(table: Table, args: argparse.Namespace, console: Console) -> None:
    """All that is missing of a table, then the table."""
    out = args.out.absolute()
    folder = results_folder(table, args, out)
    runs = plan_runs(table, args.scale, out, seeds=args.seeds, rows=args.rows, settings=args.settings,
                     options=args.cfg_options)
    # What is written holds all that has been measured of the table, also by earlier commands.
    seeds = sorted({*table.seeds, *(args.seeds or ()), *read_seeds(folder / 'rows.jsonl')})
    whole = plan_runs(table, args.scale, out, seeds=seeds, options=args.cfg_options)
    failures, start = [], time.monotonic()
    if not args.show and args.publish is None:
        check_batch(runs, args.gpus)
        with alone_in(out, console.print) as lock:
            jobs = jobs_of(runs, TOOLS / 'train.py', gpus=args.gpus, held_files=[lock],
                           measured=lambda: write_results(table, args.scale, whole, folder))
            console.print(f'{table.name}: {len(runs)} rows to fill, {len(jobs)} jobs to do.', highlight=False)
            threads = args.threads or max(1, cores() // args.jobs)
            try:
                failures = run_jobs(table.name, jobs, args.jobs, threads, console, keep_going=True)
            except KeyboardInterrupt:
                console.print('Stopped; every run has saved. The same command goes on from there.')
                sys.exit(130)
    for place in filter(None, (folder, args.publish and results_folder(table, args, args.publish))):
        rows = write_results(table, args.scale, whole, place)
    print_table(table, rows, args.scale, console)
    console.print(f'{len(rows)} of {len(whole)} rows after {(time.monotonic() - start) / 60:.1f} min: '
                  f'{place / "table.md"}', highlight=False, soft_wrap=True)
    for failure in failures:
        console.print('\n'.join(failure.tail), style='dim', markup=False, highlight=False)
        console.print(f'ablate: {failure}', markup=False, highlight=False, soft_wrap=True)
    if failures:
        sys.exit(1)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def main() -> None:
    args = parse_args()
    console = Console()
    with one_line_errors():
        choose_device(args.device)
        table = read_table(args.table)
        if args.write_configs:
            for path in write_configs(table):
                console.print(path, highlight=False, soft_wrap=True)
        else:
            run(table, args, console)


if __name__ == '__main__':
    main()
