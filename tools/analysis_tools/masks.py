"""Measures the statistics of a cut mask, or draws the paper's figures 11 to 13 together with their arrays.

Examples:
    python tools/analysis_tools/masks.py --mask rcc --cut-ratio 0.4 --json rcc.json
    python tools/analysis_tools/masks.py --figure 11 --out figure_11.png
    python tools/analysis_tools/masks.py --figure 13 --mask rcc --images coco:data/coco
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmdecouple.evaluation.mask_statistics import MASK_TYPES, mask_setup, mask_statistics
from mmdecouple.masks import PRESETS
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import integer, positive, real, seed
from mmdecouple.utils.files import check_writable, write_arrays, write_json
from mmdecouple.visualization.mask_figures import draw_figure, ratio_lines
from mmdecouple.visualization.sample_images import SOURCES
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
        help=f'at least two images for figure 13, each the background of another: {SOURCES} (default: scenes)',
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
            masks = mask_setup(args.mask, args.size, args.cut_ratio, args.preset, args.grid)
            figure, arrays = draw_figure(args.figure, args.seed, args.images, args.limit, masks)
            for line in ratio_lines(arrays):
                print(line)
            print(f'Figure {args.figure}: {save_png(figure, out)}')
            print(f'arrays: {write_arrays(out.with_suffix(".npz"), **arrays)}')
        else:
            measure(args)


def measure(args: argparse.Namespace) -> None:
    """Measure one kind of mask, print the figures, and write them if asked."""
    if args.json:
        check_writable(args.json)
    size, config, regions = mask_setup(args.mask, args.size, args.cut_ratio, args.preset, args.grid)
    found = mask_statistics(config, regions, size, args.count, args.seed)
    table = Table('statistic', 'value', title=f'{args.count} masks "{args.mask}", {size[0]} x {size[1]} cells')
    for name, value in found.items():
        table.add_row(name, f'{value:.4f}')
    Console().print(table)
    if args.json:
        given = {key: getattr(args, key) for key in ('preset', 'cut_ratio', 'count', 'seed')}
        used = dict(mask=args.mask, size=list(size), grid=regions.grid, **given, config=config)
        write_json(args.json, {**found, 'settings': used}, indent=2)


if __name__ == '__main__':
    main()
