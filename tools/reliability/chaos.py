"""Kills training runs at every file operation of their saves: each must resume to the bytes of an uninterrupted run.

    OMP_NUM_THREADS=1 python tools/reliability/chaos.py --methods densecl-d ibot-d --ranks 1 2

A run receives SIGKILL before, after and, for writes, within each operation of a window:

    start    up to the first step
    image    the entry of an unreadable image
    save     a checkpoint within an epoch, the deletion of the previous one, and the logs of the iteration
    end      the last checkpoint, up to the end of the process
    stop     SIGTERM, up to the end of the process
    restart  the resume of a stopped run, up to its first step
    resume   the first checkpoint of this resume, and the deletion of `interrupted.pth`

With several ranks, each dies at its own operations, and those that write nothing while rank 0 writes. Kills that leave
the same folder need one resume. The outcome of each kill is appended to OUT/kills.jsonl, and a second start tries
what is missing or failed; folders that did not resume are in OUT/failed. The exit code is 1 if any kill failed.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from chaos_windows import SAME, WINDOWS
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))
from mmdecouple.commands import options  # noqa: E402
from mmdecouple.runs.startup import program  # noqa: E402
from mmdecouple.utils.arguments import positive  # noqa: E402
from mmdecouple.utils.errors import UserError  # noqa: E402
from mmdecouple.utils.files import check_writable, write_text  # noqa: E402

METHODS = ('densecl', 'ibot', 'soco', 'maskalign', 'leopart', 'resim', 'plrc', 'pixpro')


def parser() -> options.Parser:
    names = [f'{method}{suffix}' for method in METHODS for suffix in ('-d', '')]
    parser = options.Parser(__doc__)
    parser.add_argument(
        '--methods',
        nargs='+',
        default=names[::2],
        choices=names,
        metavar='METHOD',
        help=f'methods (default: {" ".join(names[::2])}; without -d: the base methods)',
    )
    parser.add_argument(
        '--ranks',
        nargs='+',
        type=positive,
        default=[1, 2],
        choices=[1, 2, 4],
        help='numbers of processes (default: 1 2)',
    )
    parser.add_argument('--windows', nargs='+', default=[*WINDOWS], choices=WINDOWS, help='windows (default: all)')
    parser.add_argument(
        '--most', type=positive, metavar='N', help='largest number of kills per cell, evenly spaced (default: all)'
    )
    options.add_out(parser, 'work_dirs/chaos', 'the runs and outcomes')
    return parser


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    return parser().parse_args(words)


def main(words: list[str] | None = None) -> int:
    args = parse_args(words)
    with program():
        if not (ROOT / 'tests' / 'integration').is_dir():
            raise UserError(f'chaos: {ROOT} has no folder tests/integration, whose cases it runs; use a checkout.')
        check_writable(args.out / 'kills.jsonl')
        return campaign(args, args.out.resolve())


def campaign(args: argparse.Namespace, out: Path) -> int:
    """Runs all cells, prints the table, and returns the exit code."""
    store = out / 'kills.jsonl'
    rows = _known(store)
    # Imported here, because the runs inherit these modules, and --help does not use them.
    import torch
    from chaos_matrix import Cell, Matrix

    torch.set_num_threads(1)
    matrix = Matrix(out, rows)
    for cell in (Cell(method, ranks, name) for method in args.methods for ranks in args.ranks for name in args.windows):
        for row in matrix.run(cell, args.most):
            rows.append(json.loads(json.dumps(row)))
            with store.open('a') as file:
                file.write(json.dumps(row) + '\n')
            if row['outcome'] != SAME:
                print(f'{" ".join(map(str, cell))}, {row["kill"]}: {row["outcome"]}', flush=True)
    _print(rows)
    return int(any(row['outcome'] != SAME for row in rows))


def _known(store: Path) -> list[dict[str, Any]]:
    """Returns the successful rows of earlier starts, and removes the others and a line that was written in part."""
    if not store.exists() and store.parent.exists() and any(store.parent.iterdir()):
        raise UserError(
            f'chaos: {store.parent} holds other files, and folders in it would be deleted; name an empty one (--out).'
        )
    lines = store.read_text().split('\n')[:-1] if store.exists() else []
    rows = [row for row in map(json.loads, lines) if row['outcome'] == SAME]
    write_text(store, ''.join(f'{json.dumps(row)}\n' for row in rows))
    return rows


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table('method', 'ranks', 'window', 'kills', 'distinct states', 'resumed to the same bytes')
    cells = Counter(tuple(row['cell']) for row in rows)
    for cell, kills in [*cells.items(), (None, len(rows))]:
        those = [row for row in rows if cell in (None, tuple(row['cell']))]
        states = len({(*row['cell'], row['state']) for row in those})
        fine = sum(row['outcome'] == SAME for row in those)
        table.add_row(*(map(str, cell) if cell else ('all', '', '')), str(kills), str(states), str(fine))
    Console().print(table)


if __name__ == '__main__':
    sys.exit(main())
