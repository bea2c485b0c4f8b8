"""Measures how many built-in scenes one core renders per second.

OMP_NUM_THREADS=1 python tools/benchmark/scenes.py --sizes 48 64 96 128 224
"""

import argparse
import time
from collections.abc import Callable

import cv2
from rich.console import Console
from rich.table import Table

from mmdecouple.commands import options
from mmdecouple.datasets.scenes import SceneSpec, draw_layout, draw_scene
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive


def parser() -> options.Parser:
    sizes = [48, 64, 96, 128, 224]
    parser = options.Parser(__doc__)
    parser.add_argument(
        '--sizes',
        type=positive,
        nargs='+',
        default=sizes,
        metavar='PIXELS',
        help=f'sides of the scenes (default: {" ".join(map(str, sizes))})',
    )
    parser.add_argument('--count', type=positive, default=100, metavar='N', help='scenes of a round (default: 100)')
    parser.add_argument(
        '--rounds', type=positive, default=10, metavar='N', help='rounds, of which the best counts (default: 10)'
    )
    return parser


def main() -> None:
    args = parser().parse_args()
    cv2.setNumThreads(1)
    table = Table('size', 'scenes/s', 'layouts/s', title='one core, default settings')
    with program():
        specs = [SceneSpec(size=size) for size in args.sizes]
    for spec in specs:
        scenes = rate(lambda index: draw_scene(spec, 'train', index), args)
        layouts = rate(lambda index: draw_layout(spec, spec.generator('train', index)), args)
        table.add_row(str(spec.size[0]), f'{scenes:.0f}', f'{layouts:.0f}')
    Console().print(table)


def rate(draw: Callable[[int], object], args: argparse.Namespace) -> float:
    """Return draws a second of CPU time in the least disturbed of the repetitions."""
    times = []
    for _ in range(args.rounds):
        start = time.process_time()
        for index in range(args.count):
            draw(index)
        times.append(time.process_time() - start)
    return args.count / min(times)


if __name__ == '__main__':
    main()
