"""Acceptance test on one GPU: every part runs in its own process and within its own time.

    python tools/benchmark/gpu_acceptance.py --out work_dirs/gpu
    python tools/benchmark/gpu_acceptance.py --parts steps knn
    python tools/benchmark/gpu_acceptance.py --device cpu --tiny

A part that fails, or that exceeds its time, does not end the others; its finished rows are kept. The exit code is 0 if
all selected parts passed, and 1 otherwise. `--tiny` runs all parts at small sizes, with which no speed is required.
"""

import argparse
import json
import sys

import torch
from gpu_parts import PARTS
from gpu_report import machine, markdown, run_parts, show

from mmdecouple.commands import options
from mmdecouple.runs.startup import program
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import check_writable, write_json, write_text

RESULTS, TABLES = 'gpu.json', 'gpu.md'


def main() -> None:
    args = parse()
    if args.run:
        run_here(args)
        return
    with program():
        if args.out:
            check_writable(args.out / RESULTS)
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise UserError('No CUDA device is available; use --device cpu --tiny for a run without one.')
        report = dict(
            machine=machine(args.device), tiny=args.tiny, batch=args.batch_size, parts=run_parts(args, __file__)
        )
        report['passed'] = all(part['status'] == 'passed' for part in report['parts'])
        show(report)
        if args.out:
            write_json(args.out / RESULTS, report, indent=1)
            write_text(args.out / TABLES, markdown(report))
    sys.exit(0 if report['passed'] else 1)


def run_here(args: argparse.Namespace) -> None:
    """Runs one part in this process and writes each of its rows as a line of JSON as soon as it is known."""
    torch.set_num_threads(args.threads)
    with open(args.rows, 'w') as file:
        for row in PARTS[args.run].run(args):
            print(json.dumps(row), file=file, flush=True)


def parser() -> options.Parser:
    parser = options.Parser(__doc__, {'--limit': '--seconds N'})
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=list(PARTS),
        default=list(PARTS),
        metavar='PART',
        help='parts to run: ' + '; '.join(f'{name}: {part.what}' for name, part in PARTS.items()) + ' (default: all)',
    )
    options.add_device(parser)
    parser.add_argument('--tiny', action='store_true', help='small sizes, at most 4 images, and no required speed')
    options.add_batch_size(parser, 256)
    options.add_seconds(parser, 480, 'all parts together')
    options.add_threads(parser)
    options.add_out(parser, None, f'{RESULTS} and {TABLES}', 'the results are only printed')
    parser.add_argument('--run', choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument('--rows', help=argparse.SUPPRESS)
    return parser


def parse() -> argparse.Namespace:
    """Read the command line; `auto` is a GPU, without which the test says nothing about one."""
    args = parser().parse_args()
    args.device = 'cpu' if args.device == 'cpu' else 'cuda'
    args.threads = args.threads or torch.get_num_threads()
    args.parts = list(dict.fromkeys(args.parts))
    if args.tiny:
        args.batch_size = min(args.batch_size, 4)
    return args


if __name__ == '__main__':
    main()
