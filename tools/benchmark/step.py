"""Measures time, peak memory and operations of a training step, as ratios between variants.

Each variant runs in a separate process, alternating over several rounds; a ratio is the median over rounds of the ratio
within one round, so that changes in machine speed do not distort it. A FLOP share is counted over one complete step.

    python tools/benchmark/step.py --variants densecl densecl-d mmpretrain --batch-size 32 --out work_dirs/step
    python tools/benchmark/step.py --variants ibot ibot-d ibot-mc ibot-mc-d --arch deit-small --batch-size 16
    python tools/benchmark/step.py --variants ibot ibot-d official --official IBOT --batch-size 64 --precision bf16

IBOT is a checkout of bytedance/ibot, from which the official code is run. All iBOT variants use the same block masks.
MaskAlign's teacher and Leopart have random weights, at the same cost. SoCo's views share four random proposals.
"""

import argparse
import json
from collections.abc import Sequence

import torch
from comparing import PAIRS, RESULTS, VARIANTS, compare

from mmdecouple.commands import options
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, whole
from mmdecouple.utils.files import check_writable

ARCHS = ('deit-tiny', 'deit-small', 'base', 'large')


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    if args.measure:
        # Imported here, because the models take seconds to import and only the measuring processes use them.
        from measuring import measure

        print(json.dumps(measure(args.measure, args)))
        return
    with program():
        if args.out:
            check_writable(args.out / RESULTS)
        compare(args, __file__)


def parser() -> options.Parser:
    parser = options.Parser(__doc__)
    parser.add_argument(
        '--variants',
        nargs='+',
        choices=VARIANTS,
        metavar='NAME',
        help=f'variants to compare, of {", ".join(VARIANTS)} (default: all that can run)',
    )
    parser.add_argument('--official', metavar='IBOT', help='checkout of bytedance/ibot, for the variant official')
    options.add_batch_size(parser, 32)
    parser.add_argument('--size', type=positive, default=224, metavar='PIXELS', help='side of a view (default: 224)')
    parser.add_argument(
        '--depth',
        type=int,
        default=50,
        metavar='N',
        help='depth of the ResNet of DenseCL, SoCo, PixPro and PLRC (default: 50)',
    )
    parser.add_argument(
        '--queue', type=positive, default=65536, metavar='N', help='length of the queues (default: 65536)'
    )
    parser.add_argument('--arch', default='deit-small', choices=ARCHS, help='ViT (default: deit-small)')
    parser.add_argument('--teacher', default='base', choices=ARCHS, help="MaskAlign's teacher (default: base)")
    parser.add_argument('--patch', type=positive, default=16, metavar='PIXELS', help='side of a patch (default: 16)')
    parser.add_argument(
        '--prototypes', type=positive, default=8192, metavar='N', help="outputs of iBOT's head (default: 8192)"
    )
    parser.add_argument(
        '--locals', type=whole, default=4, metavar='N', help='local views, for methods with some (default: 4)'
    )
    parser.add_argument(
        '--local-size', type=positive, default=96, metavar='PIXELS', help='side of a local view (default: 96)'
    )
    parser.add_argument('--steps', type=positive, default=3, metavar='N', help='timed steps of a round (default: 3)')
    parser.add_argument('--rounds', type=positive, default=3, metavar='N', help='number of rounds (default: 3)')
    parser.add_argument('--precision', choices=('bf16', 'fp32'), default='fp32', help='precision (default: fp32)')
    parser.add_argument('--compile', action='store_true', help="compile our variants and mmpretrain's DenseCL")
    parser.add_argument(
        '--channels-last',
        action='store_true',
        help='use the channels-last format for our DenseCL, SoCo, PixPro and PLRC',
    )
    parser.add_argument('--peak-tflops', type=float, metavar='X', help='dense bf16 peak of the GPU, to compute the MFU')
    options.add_threads(parser)
    options.add_device(parser)
    parser.add_argument(
        '--cpu-time', action='store_true', help='measure processor time, for a busy machine; use one thread'
    )
    options.add_out(parser, None, RESULTS, 'the results are only printed')
    parser.add_argument('--measure', help=argparse.SUPPRESS)
    return parser


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, or the given words."""
    read = parser()
    args = read.parse_args(words)
    if args.device == 'auto':
        args.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    args.threads = args.threads or torch.get_num_threads()
    args.variants = args.variants or [name for name in VARIANTS if name != 'official' or args.official]
    if 'official' in args.variants and not args.official:
        read.error('the variant official requires --official, a checkout of bytedance/ibot')
    if not any(set(pair) <= set(args.variants) for pair in PAIRS):
        read.error(
            f'no two of {", ".join(args.variants)} form a pair; pairs: ' + ', '.join(' / '.join(pair) for pair in PAIRS)
        )
    return args


if __name__ == '__main__':
    main()
