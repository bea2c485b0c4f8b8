"""Measures how many built-in scenes one core renders per second.

OMP_NUM_THREADS=1 python tools/benchmark/scenes.py --sizes 48 64 96 128 224
"""

import argparse
import time
from collections.abc import Callable

import cv2
from rich.console import Console
from rich.table import Table

from mmdecouple.datasets.scenes import SceneSpec, draw_layout, draw_scene
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', type=positive, nargs='+', default=[48, 64, 96, 128, 224])
    parser.add_argument('--count', type=positive, default=100, help='scenes per repetition')
    parser.add_argument('--repeat', type=positive, default=10, help='number of repetitions, of which the best counts')
    args = parser.parse_args()
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
    for _ in range(args.repeat):
        start = time.process_time()
        for index in range(args.count):
            draw(index)
        times.append(time.process_time() - start)
    return args.count / min(times)


if __name__ == '__main__':
    main()
