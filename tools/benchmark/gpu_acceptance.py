"""Acceptance test on one GPU: every part runs in its own process and within its own time.

    python tools/benchmark/gpu_acceptance.py --json gpu.json --markdown gpu.md
    python tools/benchmark/gpu_acceptance.py --parts steps knn
    python tools/benchmark/gpu_acceptance.py --device cpu --tiny

A part that fails, or that exceeds its time, does not end the others; its finished rows are kept. The exit code is 0 if
all selected parts passed, and 1 otherwise. `--tiny` runs all parts at small sizes, with which no speed is required.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from gpu_parts import PARTS
from gpu_report import machine, markdown, run_parts, show

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import check_writable, write_json, write_text


def main() -> None:
    args = parse()
    if args.run:
        run_here(args)
        return
    with program():
        for file in filter(None, (args.json, args.markdown)):
            check_writable(file)
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise UserError('No CUDA device is available; use --device cpu --tiny for a run without one.')
        report = dict(machine=machine(args.device), tiny=args.tiny, batch=args.batch, parts=run_parts(args, __file__))
        report['passed'] = all(part['status'] == 'passed' for part in report['parts'])
        show(report)
        if args.json:
            write_json(args.json, report, indent=1)
        if args.markdown:
            write_text(args.markdown, markdown(report))
    sys.exit(0 if report['passed'] else 1)


def run_here(args: argparse.Namespace) -> None:
    """Runs one part in this process and writes each of its rows as a line of JSON as soon as it is known."""
    torch.set_num_threads(args.threads)
    with open(args.rows, 'w') as file:
        for row in PARTS[args.run].run(args):
            print(json.dumps(row), file=file, flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=list(PARTS),
        default=list(PARTS),
        metavar='PART',
        help='parts to run: ' + '; '.join(f'{name}: {part.what}' for name, part in PARTS.items()) + ' (default: all)',
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cuda')
    parser.add_argument('--tiny', action='store_true', help='small sizes, and no required speed')
    parser.add_argument('--batch', type=positive, default=256, help='images per step (default: 256; 4 with --tiny)')
    parser.add_argument('--limit', type=positive, default=480, help='seconds for all parts together (default: 480)')
    parser.add_argument('--threads', type=positive, default=torch.get_num_threads())
    parser.add_argument('--json', type=Path, help='file for the results')
    parser.add_argument('--markdown', type=Path, help='file for the results as tables')
    parser.add_argument('--run', choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument('--rows', help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.parts = list(dict.fromkeys(args.parts))
    if args.tiny:
        args.batch = min(args.batch, 4)
    return args


if __name__ == '__main__':
    main()
