"""Measures the statistics of a cut mask, or draws the paper's figures 11 to 13 together with their arrays.

Examples:
    mmdecouple masks --mask rcc --cut-ratio 0.4
    mmdecouple masks --figure 11 --out work_dirs/masks
    mmdecouple masks --figure 13 --mask rcc --data coco:data/coco
"""

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import integer, positive, real
from mmdecouple.utils.data_spec import PICTURES
from mmdecouple.utils.files import check_writable, write_arrays, write_json

from . import options

TYPES = ('rcc', 'rcc_printed', 'cutout', 'blockwise', 'random', 'rectangle')
PRESETS = ('paper', 'release')
_MOST_CELLS = 1024
_STATISTICS = 'masks.json'


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    parser.add_argument('--mask', choices=TYPES, default='rcc', help='type of the mask (default: rcc)')
    parser.add_argument(
        '--size',
        type=integer(1, _MOST_CELLS),
        nargs='+',
        default=[14],
        metavar='CELLS',
        help='cells per side, or height and width (default: 14)',
    )
    parser.add_argument('--grid', type=positive, metavar='N', help="boxes along each side (default: the preset's)")
    parser.add_argument('--preset', choices=PRESETS, default='release', help='preset (default: release)')
    parser.add_argument(
        '--cut-ratio',
        type=real(0, 1),
        nargs='+',
        metavar='RATIO',
        help="one number, or minimum and maximum (default: the mask's)",
    )
    parser.add_argument('--count', type=positive, default=3000, metavar='N', help='number of masks (default: 3000)')
    parser.add_argument(
        '--figure',
        type=int,
        choices=(11, 12, 13),
        help='figure of the paper to draw: 11, the ratio that RCC and Cutout cut, and 12, the types of masks, with the '
        "paper's settings; 13, masks on images, each the background of another, with the settings given here",
    )
    options.add_data(parser, PICTURES, 'scenes; used by figure 13', several=True)
    options.add_limit(parser, 'images of figure 13', 6)
    options.add_seed(parser, 'the masks')
    options.add_out(parser, 'work_dirs/masks', f'{_STATISTICS}, or figure_N.png and figure_N.npz')
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    read = parser()
    args = read.parse_args(argv)
    if len(args.size) > 2:
        read.error(f'--size takes one or two numbers, got {args.size}')
    if args.cut_ratio and len(args.cut_ratio) > 2:
        read.error(f'--cut-ratio takes one number, or minimum and maximum, got {args.cut_ratio}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    with program():
        _draw(args) if args.figure else _measure(args)


def _draw(args: argparse.Namespace) -> None:
    out = args.out / f'figure_{args.figure}.png'
    for path in (out, out.with_suffix('.npz')):
        check_writable(path)
    from mmdecouple.evaluation.mask_statistics import mask_setup
    from mmdecouple.visualization.mask_figures import draw_figure, ratio_lines
    from mmdecouple.visualization.style import save_png

    masks = mask_setup(args.mask, args.size, args.cut_ratio, args.preset, args.grid)
    figure, arrays = draw_figure(args.figure, args.seed, args.data or ['scenes'], args.limit, masks)
    for line in ratio_lines(arrays):
        print(line)
    print(f'Figure {args.figure}: {save_png(figure, out)}')
    print(f'arrays: {write_arrays(out.with_suffix(".npz"), **arrays)}')


def _measure(args: argparse.Namespace) -> None:
    out = args.out / _STATISTICS
    check_writable(out)
    from mmdecouple.evaluation.mask_statistics import mask_setup, mask_statistics

    size, config, regions = mask_setup(args.mask, args.size, args.cut_ratio, args.preset, args.grid)
    found = mask_statistics(config, regions, size, args.count, args.seed)
    table = Table('statistic', 'value', title=f'{args.count} masks "{args.mask}", {size[0]} x {size[1]} cells')
    for name, value in found.items():
        table.add_row(name, f'{value:.4f}')
    Console().print(table)
    given = {key: getattr(args, key) for key in ('preset', 'cut_ratio', 'count', 'seed')}
    used = dict(mask=args.mask, size=list(size), grid=regions.grid, **given, config=config)
    write_json(out, {**found, 'settings': used}, indent=2)
    print(f'statistics: {out}')
