"""Measure how many built-in scenes a core draws a second.

    OMP_NUM_THREADS=1 python tools/benchmark/scenes.py --sizes 48 64 96 128 224
"""
import argparse
import time
from typing import Callable

import cv2
from rich.console import Console
from rich.table import Table

from mmdecouple.datasets.scenes import SceneSpec, draw_layout, draw_scene


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', type=int, nargs='+', default=[48, 64, 96, 128, 224])
    parser.add_argument('--count', type=int, default=400, help='scenes a size')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    table = Table('size', 'scenes/s', 'layouts/s', title='one core, default knobs, CPU time')
    for size in args.sizes:
        spec = SceneSpec(size=size)
        scenes = rate(lambda index: draw_scene(spec, 'train', index), args.count)
        layouts = rate(lambda index: draw_layout(spec, spec.generator('train', index)), args.count)
        table.add_row(str(size), f'{scenes:.0f}', f'{layouts:.0f}')
    Console().print(table)


def rate(draw: Callable[[int], object], count: int) -> float:
    """Return draws a second of this process's CPU time, after one draw to warm up."""
    draw(0)
    start = time.process_time()
    for index in range(count):
        draw(index)
    return count / (time.process_time() - start)


if __name__ == '__main__':
    main()
