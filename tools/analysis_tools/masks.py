"""Measures the statistics of a cut mask, or draws the paper's figures 11 to 13 together with their arrays.

Examples:
    python tools/analysis_tools/masks.py --mask rcc --cut-ratio 0.4 --json rcc.json
    python tools/analysis_tools/masks.py --figure 11 --out figure_11.png
    python tools/analysis_tools/masks.py --figure 13 --mask rcc --images coco:data/coco
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from mmdecouple.evaluation.mask_statistics import MASK_TYPES, mask_config, mask_statistics
from mmdecouple.masks import PRESETS, RegionCollaborativeCutout
from mmdecouple.runs.progress import shown_progress
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import integer, positive, real, seed
from mmdecouple.utils.files import check_writable, write_arrays, write_json
from mmdecouple.visualization.mask_figures import figure_11, figure_12, figure_13
from mmdecouple.visualization.sample_images import WORDS
from mmdecouple.visualization.style import save_png

MOST_CELLS = 1024


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mask', choices=MASK_TYPES, default='rcc')
    parser.add_argument(
        '--size',
        type=integer(1, MOST_CELLS),
        nargs='+',
        default=[14],
        metavar='CELLS',
        help='cells per side, or height and width (default: 14)',
    )
    parser.add_argument('--grid', type=positive, help="boxes along each side (default: the preset's)")
    parser.add_argument('--preset', default='release', help=f'one of {", ".join(PRESETS)} (default: release)')
    parser.add_argument(
        '--cut-ratio',
        type=real(0, 1),
        nargs='+',
        metavar='RATIO',
        help="one number, or minimum and maximum (default: the mask's)",
    )
    parser.add_argument('--count', type=positive, default=3000, help='number of masks (default: 3000)')
    parser.add_argument('--seed', type=seed, default=0)
    parser.add_argument('--json', type=Path, help='file for settings and statistics')
    parser.add_argument(
        '--figure',
        type=int,
        choices=(11, 12, 13),
        help='figure of the paper to draw: 11, the ratio that RCC and Cutout cut, and 12, the types '
        "of masks, with the paper's settings; 13, masks on images, with the settings given here",
    )
    parser.add_argument(
        '--images',
        nargs='+',
        default=['scenes'],
        metavar='IMAGES',
        help=f'at least two images for figure 13, each the background of another: {WORDS} (default: scenes)',
    )
    parser.add_argument('--limit', type=positive, default=6, help='maximum number of images for figure 13 (default: 6)')
    parser.add_argument(
        '--out',
        type=Path,
        help='PNG file for --figure; its arrays are saved next to it as .npz (default: figure_<number>.png)',
    )
    args = parser.parse_args(argv)
    if len(args.size) > 2:
        parser.error(f'--size takes one or two numbers, got {args.size}')
    if args.cut_ratio and len(args.cut_ratio) > 2:
        parser.error(f'--cut-ratio takes one number, or minimum and maximum, got {args.cut_ratio}')
    if args.out and args.out.suffix.lower() != '.png':
        parser.error(f'--out must be a PNG file name, got {args.out}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    with program():
        if args.figure:
            out = args.out or Path(f'figure_{args.figure}.png')
            for path in (out, out.with_suffix('.npz')):
                check_writable(path)
            figure, arrays = draw_figure(args)
            print(f'Figure {args.figure}: {save_png(figure, out)}')
            print(f'arrays: {write_arrays(out.with_suffix(".npz"), **arrays)}')
        else:
            measure(args)


def measure(args: argparse.Namespace) -> None:
    """Measure one kind of mask, print the figures, and write them if asked."""
    if args.json:
        check_writable(args.json)
    size, config, regions = settings(args)
    found = mask_statistics(config, regions, size, args.count, args.seed)
    table = Table('statistic', 'value', title=f'{args.count} masks "{args.mask}", {size[0]} x {size[1]} cells')
    for name, value in found.items():
        table.add_row(name, f'{value:.4f}')
    Console().print(table)
    if args.json:
        used = dict(
            mask=args.mask,
            size=list(size),
            grid=regions.grid,
            preset=args.preset,
            cut_ratio=args.cut_ratio,
            count=args.count,
            seed=args.seed,
            config=config,
        )
        write_json(args.json, {**found, 'settings': used}, indent=2)


def settings(args: argparse.Namespace) -> tuple[tuple[int, int], dict, RegionCollaborativeCutout]:
    """Cells of a mask, the config of its sampler, and the regions against which it is measured."""
    grid = dict(preset=args.preset, grid=args.grid)
    size = args.size[0], args.size[-1]
    return size, mask_config(args.mask, args.cut_ratio, **grid), RegionCollaborativeCutout(**grid)


def draw_figure(args: argparse.Namespace) -> tuple[Figure, dict]:
    """A figure of the paper, and the arrays behind it."""
    if args.figure == 11:
        with shown_progress('numbers of regions') as progress:
            figure, arrays = figure_11(args.seed, progress)
        for name in filter('numbers'.__ne__, arrays):
            means = (f'N={number}: {mean:.3f}' for number, (mean, _) in zip(arrays['numbers'], arrays[name]))
            print(f'{name:12}', ' '.join(means))
        return figure, arrays
    if args.figure == 12:
        return figure_12(args.seed)
    size, config, regions = settings(args)
    return figure_13(args.images, args.limit, config, regions, size, args.seed)


if __name__ == '__main__':
    main()
