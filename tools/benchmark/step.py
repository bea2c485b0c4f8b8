"""Time, peak memory and counted operations of a training step, as ratios: -D against its base, ours against others.

Each variant runs in its own process, in turn, several rounds; a ratio is the median over rounds of the ratio within
one round, so a machine whose speed drifts does not bend it. A FLOP share is counted over one whole step.

    python tools/benchmark/step.py --variants densecl densecl-d mmpretrain --batch 32 --json OUT
    python tools/benchmark/step.py --variants ibot ibot-d ibot-mc ibot-mc-d --arch deit-small --batch 16
    python tools/benchmark/step.py --variants ibot ibot-d official --official IBOT --batch 64 --precision bf16

IBOT is a checkout of bytedance/ibot, which runs from there. The iBOT variants all have block masks, the same ones.
MaskAlign's teacher and Leopart have random weights here, which cost the same. SoCo's views share four random proposals.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, whole
from mmdecouple.utils.files import check_writable, write_json

PAIRS = [
    ('densecl-d', 'densecl'),
    ('densecl', 'mmpretrain'),
    ('ibot-d', 'ibot'),
    ('ibot-d-release', 'ibot'),
    ('ibot-mc-d', 'ibot-mc'),
    ('maskalign-d', 'maskalign'),
    ('maskalign-d-drop', 'maskalign'),
    ('soco-d', 'soco'),
    ('plrc-d', 'plrc'),
    ('leopart-d', 'leopart'),
    ('ibot', 'official'),
    ('ibot-d', 'official'),
]
VARIANTS = list(dict.fromkeys(variant for pair in PAIRS for variant in reversed(pair)))


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    if args.measure:
        # Here alone: the models take seconds to import, which the process that starts the others can do without.
        from measuring import measure

        print(json.dumps(measure(args.measure, args)))
        return
    with program():
        if args.json:
            check_writable(args.json)
        compare(args)


def compare(args: argparse.Namespace) -> None:
    """Measure all variants in turns, print the ratios and write them if asked."""
    pairs = [pair for pair in PAIRS if set(pair) <= set(args.variants)]
    rows: dict[str, list[dict]] = {variant: [] for variant in VARIANTS if any(variant in pair for pair in pairs)}
    for _ in track(range(args.rounds), 'rounds', console=Console(stderr=True)):
        for variant in rows:
            rows[variant].append(run_alone(variant))
    report = dict(
        settings={k: v for k, v in vars(args).items() if k not in ('json', 'measure')},
        rows=rows,
        ratios={f'{ours} / {other}': ratio(rows[ours], rows[other]) for ours, other in pairs},
    )
    show(report)
    if args.json:
        write_json(args.json, report, indent=1)


def run_alone(variant: str) -> dict[str, float]:
    """Measure a variant in a process of its own, with the options of this one."""
    command = [sys.executable, __file__, *sys.argv[1:], '--measure', variant]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]
        raise SystemExit(f'step benchmark: {variant} failed: {reason}')
    return json.loads(done.stdout.strip().splitlines()[-1])


def ratio(ours: Sequence[dict], other: Sequence[dict]) -> dict[str, float]:
    """Medians over rounds of the ratios of seconds, memory and operations within a round."""
    return {
        key: statistics.median(a[key] / b[key] for a, b in zip(ours, other)) for key in ('seconds', 'peak_mib', 'tflop')
    }


def show(report: dict) -> None:
    """Print a table of ratios and one of variants."""
    ratios = Table('ratio', 'time', 'peak memory', 'FLOP share', 'time / FLOP share')
    for name, found in report['ratios'].items():
        figures = (found['seconds'], found['peak_mib'], found['tflop'], found['seconds'] / found['tflop'])
        ratios.add_row(name, *(f'{figure:.3f}' for figure in figures))
    columns = {
        'seconds': 's / step',
        'samples_per_second': 'samples / s',
        'peak_mib': 'peak MiB',
        'tflop': 'TFLOP / step',
        'mfu': 'MFU',
    }
    variants = Table('variant', *columns.values())
    for name, rounds in report['rows'].items():
        variants.add_row(
            name,
            *(f'{statistics.median(row[key] for row in rounds):.4g}' if key in rounds[0] else '-' for key in columns),
        )
    Console().print(ratios, variants)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--variants',
        nargs='+',
        choices=VARIANTS,
        metavar='NAME',
        help=f'those to pair up, of {", ".join(VARIANTS)}; default: all that can run',
    )
    parser.add_argument('--official', metavar='IBOT', help='checkout of bytedance/ibot, for the variant official')
    parser.add_argument('--batch', type=positive, default=32)
    parser.add_argument('--size', type=positive, default=224)
    parser.add_argument('--depth', type=int, default=50, help='of the ResNet of DenseCL, SoCo and PLRC')
    parser.add_argument('--queue', type=positive, default=65536)
    parser.add_argument('--arch', default='deit-small', choices=['deit-tiny', 'deit-small', 'base', 'large'])
    parser.add_argument(
        '--teacher',
        default='base',
        choices=['deit-tiny', 'deit-small', 'base', 'large'],
        help="arch of MaskAlign's teacher",
    )
    parser.add_argument('--patch', type=positive, default=16)
    parser.add_argument('--prototypes', type=positive, default=8192, help="outputs of iBOT's head")
    parser.add_argument('--locals', type=whole, default=4, help='local views of ibot-mc and leopart')
    parser.add_argument('--local-size', type=positive, default=96)
    parser.add_argument('--steps', type=positive, default=3)
    parser.add_argument('--rounds', type=positive, default=3)
    parser.add_argument('--precision', choices=['bf16', 'fp32'], default='fp32')
    parser.add_argument('--compile', action='store_true', help='our variants and the DenseCL of mmpretrain')
    parser.add_argument('--channels-last', action='store_true', help='our DenseCL, SoCo and PLRC')
    parser.add_argument('--peak-tflops', type=float, help='dense bf16 peak of the GPU, for the MFU')
    parser.add_argument('--threads', type=positive, default=torch.get_num_threads())
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cpu-time', action='store_true', help='processor time, for a busy machine; with one thread')
    parser.add_argument('--json', help='write the figures to this file')
    parser.add_argument('--measure', help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.variants = args.variants or [name for name in VARIANTS if name != 'official' or args.official]
    if 'official' in args.variants and not args.official:
        parser.error('the variant official needs --official, a checkout of bytedance/ibot')
    if not any(set(pair) <= set(args.variants) for pair in PAIRS):
        parser.error(
            f'no two of {", ".join(args.variants)} are a pair; pairs: ' + ', '.join(' / '.join(pair) for pair in PAIRS)
        )
    return args


if __name__ == '__main__':
    main()
