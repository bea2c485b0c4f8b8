"""Compares runs: measures those not measured yet, writes report.html and prints a table.

Example:
    python tools/analysis_tools/compare_runs.py work_dirs/densecl work_dirs/densecl-d --untrained
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdecouple.networks.network import TRUST, open_network
from mmdecouple.runs.startup import program
from mmdecouple.utils.files import check_writable
from mmdecouple.visualization.comparison import compare
from mmdecouple.visualization.coupling import Draws, Reading, measure_one


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('runs', nargs='+', type=Path, metavar='RUN', help='run folders (work_dir)')
    parser.add_argument('--names', nargs='+', help='names of the runs, in order (default: folders)')
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/report'), help='folder of the report (default: work_dirs/report)'
    )
    parser.add_argument('--dataset', help='data set to measure on, as in coupling.py (default: from the config)')
    parser.add_argument('--untrained', action='store_true', help="add the untrained network of the first run's config")
    parser.add_argument('--remeasure', action='store_true', help='ignore cached measurements')
    parser.add_argument('--allow-pickle', action='store_true', help=TRUST)
    parser.add_argument('--title', default='Coupling report', help='heading of the report')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    cell: int | None = None

    def measure(network: str, out: Path) -> None:
        measure_one(network, out, Draws(args.dataset, cell=cell), Reading(remeasure=args.remeasure), args.allow_pickle)

    with program():
        check_writable(args.out / 'report.html')
        if args.dataset:
            # Draws depend on the cell: runs with cells of different sizes need one for all, as in coupling.py.
            cell = max(open_network(str(folder), allow_pickle=args.allow_pickle).cell for folder in args.runs)
        compare(
            args.runs,
            args.names or [folder.resolve().name for folder in args.runs],
            args.out,
            measure,
            dataset=args.dataset,
            cell=cell,
            untrained=args.untrained,
            remeasure=args.remeasure,
            allow_pickle=args.allow_pickle,
            title=args.title,
        )


if __name__ == '__main__':
    main()
