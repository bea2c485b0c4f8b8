"""Measures the speed of RCC on one core: the batched rule against a per-sample one, as in a data loader.

    python tools/benchmark/mask_speed.py --size 14 --batch-size 256 --out work_dirs/mask_speed

Both draw nine grid regions per view and cut in them; the draws are included in the time. The per-sample rule
uses integer slices of one numpy array, which is about as fast as such code can be.
"""

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mmdecouple.commands import options
from mmdecouple.masks import PRESETS, build_mask
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.files import check_writable, write_json

PRESET = PRESETS['release']
RESULTS = 'mask_speed.json'


def parser() -> options.Parser:
    parser = options.Parser(__doc__)
    parser.add_argument('--size', type=positive, default=14, metavar='CELLS', help='cells per side (default: 14)')
    options.add_batch_size(parser, 256, 'masks')
    parser.add_argument(
        '--rounds', type=positive, default=100, metavar='N', help='number of timed batches (default: 100)'
    )
    options.add_out(parser, None, RESULTS, 'the results are only printed')
    return parser


def main() -> None:
    args = parser().parse_args()
    torch.set_num_threads(1)
    with program():
        if args.out:
            check_writable(args.out / RESULTS)
        result = benchmark(args.size, args.batch_size, args.rounds)
        show(result)
        if args.out:
            write_json(args.out / RESULTS, result, indent=2)


def show(result: dict) -> None:
    """Print the times of both rules and their ratio."""
    table = Table(
        'rule',
        'best us a mask',
        'median us a mask',
        title=f'RCC, {result["size"]} x {result["size"]} cells, batch {result["batch"]}, one thread',
    )
    for name in ('batched', 'per_sample'):
        table.add_row(name.replace('_', ' '), *(f'{result[name][key]:.1f}' for key in ('best_us', 'median_us')))
    Console().print(table)
    print(f'The batched rule is {result["ratio"]:.1f} times as fast (median against median).')


def benchmark(size: int, batch: int, rounds: int) -> dict:
    """Times both rules alternately, in CPU time, so that load on the machine has little effect on the ratio."""
    mask = build_mask(dict(type='RegionCollaborativeCutout', preset='release'))
    generator, draws = torch.Generator().manual_seed(0), np.random.default_rng(0)
    few = max(1, batch // 16)

    def batched() -> None:
        mask.sample(batch, (size, size), generator=generator)

    def per_sample() -> None:
        for _ in range(few):
            rcc_per_sample(size, draws)

    batched()
    per_sample()
    times = [(seconds(batched) / batch, seconds(per_sample) / few) for _ in range(rounds)]
    found = dict(size=size, batch=batch, rounds=rounds)
    for name, values in zip(('batched', 'per_sample'), zip(*times)):
        found[name] = dict(best_us=1e6 * min(values), median_us=1e6 * float(np.median(values)))
    found['ratio'] = found['per_sample']['median_us'] / found['batched']['median_us']
    return found


def seconds(call: Callable[[], None]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def rcc_per_sample(size: int, draws: np.random.Generator) -> np.ndarray:
    """Draw one RCC mask `(size, size)` with loops over regions, by the released rule."""
    grid, mask = PRESET['grid'], np.zeros((size, size), bool)
    cut_ratio = draws.uniform(*PRESET['cut_ratio'])
    boxes = []
    for k in range(grid * grid):
        x = (k % grid + draws.uniform(0.25, 0.75)) * size / grid
        y = (k // grid + draws.uniform(0.25, 0.75)) * size / grid
        area = draws.uniform(*PRESET['box_area']) * size * size
        aspect = math.exp(draws.uniform(*map(math.log, PRESET['aspect'])))
        w, h = math.sqrt(area * aspect) / 2, math.sqrt(area / aspect) / 2
        boxes.append((max(x - w, 0), max(y - h, 0), min(x + w, size), min(y + h, size)))
    for x1, y1, x2, y2 in sorted(boxes, key=lambda b: (b[2] - b[0]) * (b[3] - b[1]), reverse=True):
        left, top = round(x1), round(y1)
        width, height = min(round(x2), size - 1) - left + 1, min(round(y2), size - 1) - top + 1
        region = mask[top : top + height, left : left + width]
        share = 1 - (region.size - np.count_nonzero(region)) / region.size
        if share > cut_ratio:
            region[:] = False
            share = 0.0
        area, aspect = (cut_ratio - share) * region.size, width / height
        a, b = math.sqrt(area * aspect), math.sqrt(area / aspect)
        x, y = draws.random() * (width - 1 - a) + left, draws.random() * (height - 1 - b) + top
        mask[
            round(y) : min(round(y + b - 1), top + height - 1) + 1,
            round(x) : min(round(x + a - 1), left + width - 1) + 1,
        ] |= a > 0
    return mask


if __name__ == '__main__':
    main()
