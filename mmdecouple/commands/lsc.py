"""Draws maps of local semantic consistency: the similarity of window features with and without the rest of the image.

Examples:
    mmdecouple lsc work_dirs/ibot work_dirs/ibot-d --data coco:data/coco --out work_dirs/lsc
    mmdecouple lsc timm:vit_small_patch14_dinov2=dinov2.pth --data photo.jpg --out work_dirs/lsc
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.files import check_writable

from . import options
from .mapping import add_map_options, open_all

PRECISIONS = ('fp32', 'bf16')


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    add_map_options(parser, size=512, scenes=96)
    parser.add_argument(
        '--window', type=positive, default=5, metavar='CELLS', help='side of a window in cells, odd (default: 5)'
    )
    parser.add_argument(
        '--upsample',
        type=positive,
        metavar='PIXELS',
        help='side to which cropped windows are enlarged, a multiple of every cell (default: not enlarged)',
    )
    parser.add_argument(
        '--precision', choices=PRECISIONS, default='fp32', help='precision of inference (default: fp32)'
    )
    options.add_batch_size(parser, 64, 'windows')
    options.add_out(parser, 'work_dirs/lsc', 'the figures, lsc.json and lsc.npz')
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args, console = parse_args(argv), Console()
    with program():
        check_writable(args.out / 'lsc.json')
        from mmdecouple.visualization.lsc_files import ARRAYS, check_upsample, write_lsc
        from mmdecouple.visualization.terminal import layer_title

        networks, images = open_all(args)
        check_upsample(networks, args.upsample)
        settings = {key: getattr(args, key) for key in ('window', 'upsample', 'precision', 'batch_size')}
        try:
            means, figures = write_lsc(networks, images, args.out, args.layer, **settings)
        except KeyboardInterrupt:
            console.print('Stopped; run the same command to continue from the finished maps.')
            sys.exit(130)
        console.print(_table(means, layer_title(args.layer)))
        for path in figures:
            print(f'figure: {path}')
        print(f'arrays: {args.out / ARRAYS}')


def _table(means: dict[str, dict], layer: str) -> Table:
    table = Table(Column('network', overflow='fold'), title=f'mean LSC ({layer})', title_justify='left')
    for column in ('mean', '95 % interval', 'images'):
        table.add_column(column, justify='right')
    for name, found in means.items():
        interval = f'{found["low"]:.4f} .. {found["high"]:.4f}' if found['count'] > 1 else '-'
        table.add_row(name, f'{found["value"]:.4f}', interval, str(found['count']))
    return table
