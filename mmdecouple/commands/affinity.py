"""Draws point affinity: the similarity of the feature at one point to the features at all other positions.

Examples:
    mmdecouple affinity work_dirs/densecl work_dirs/densecl-d --data coco:data/coco --out work_dirs/affinity
    mmdecouple affinity work_dirs/ibot-d --data photo.jpg --point 0.4 0.6 --point 0.8 0.2
"""

import argparse
from collections.abc import Sequence

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import real
from mmdecouple.utils.files import check_writable

from . import options
from .mapping import add_map_options, open_all

SCALES = ('fixed', 'per_map')
_ARRAYS = 'affinity.npz'


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    add_map_options(parser, size=448, scenes=192)
    parser.add_argument(
        '--point',
        type=real(),
        nargs=2,
        action='append',
        metavar=('X', 'Y'),
        help='point in every image, as fractions of width and height in [0, 1]; may be repeated (default: the center '
        'of the largest instance if instances are annotated, otherwise of the image)',
    )
    parser.add_argument(
        '--scale',
        choices=SCALES,
        default='fixed',
        help='color scale: fixed = 0 to 1 for all, to compare networks; per_map = minimum to maximum of each map '
        '(default: fixed)',
    )
    options.add_out(parser, 'work_dirs/affinity', f'the figures and {_ARRAYS}')
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    with program():
        arrays = args.out / _ARRAYS
        check_writable(arrays)
        from mmdecouple.visualization.affinity import check_points
        from mmdecouple.visualization.affinity_files import write_affinity

        points = [tuple(point) for point in args.point or ()]
        check_points(points)
        networks, images = open_all(args)
        for path in write_affinity(networks, images, points, args.scale, args.layer, arrays):
            print(f'figure: {path}')
        print(f'arrays: {arrays}')
