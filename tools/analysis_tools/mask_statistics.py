"""Measure what a kind of cut mask does, or draw the paper's figures 11 and 12.

Examples:
    python tools/analysis_tools/mask_statistics.py --mask rcc --cut-ratio 0.4 --json rcc.json
    python tools/analysis_tools/mask_statistics.py --figure 11 --out figure_11.png
"""
import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmdecouple.evaluation.mask_statistics import (MASK_TYPES, draw_masks, mask_config,
                                                   mask_statistics)
from mmdecouple.masks import PRESETS, RegionCollaborativeCutout, region_ratio
from mmdecouple.utils.errors import one_line_errors
from mmdecouple.visualization.masks import collaboration_figure, mask_types_figure
from mmdecouple.visualization.style import save_png

FIGURE_RATIO = 0.4
FIGURE_SIZE = (224, 224)
PATCH_SIZE = (14, 14)
FIGURE_BOXES = dict(box_area=(0.2, 1.0), aspect=(0.5, 2.0))
FIGURE_GRIDS = (1, 2, 3, 4, 5, 6)
FIGURE_REPEATS = 500


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mask', choices=MASK_TYPES, default='rcc')
    parser.add_argument('--size', type=int, nargs='+', default=[14], metavar='CELLS',
                        help='cells along the side, or height and width (default: 14)')
    parser.add_argument('--grid', type=int, help="boxes along each side (default: the preset's)")
    parser.add_argument('--preset', default='release', help=f'one of {", ".join(PRESETS)} '
                        '(default: release)')
    parser.add_argument('--cut-ratio', type=float, nargs='+', metavar='RATIO',
                        help="one number, or low and high (default: the mask's own)")
    parser.add_argument('--count', type=int, default=3000, help='masks (default: 3000)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, help='write settings and figures here')
    parser.add_argument('--figure', type=int, choices=(11, 12),
                        help="draw this figure of the paper with the paper's own settings")
    parser.add_argument('--out', type=Path, help='PNG of --figure (default: figure_<number>.png)')
    args = parser.parse_args(argv)
    if len(args.size) > 2 or min(args.size) < 1:
        parser.error(f'--size takes one or two positive numbers, got {args.size}')
    if args.cut_ratio and len(args.cut_ratio) > 2:
        parser.error(f'--cut-ratio takes one number, or low and high, got {args.cut_ratio}')
    if args.count < 1:
        parser.error(f'--count must be at least 1, got {args.count}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors():
        if args.figure:
            out = args.out or Path(f'figure_{args.figure}.png')
            figure = figure_11(args.seed) if args.figure == 11 else figure_12(args.seed)
            print(f'Figure {args.figure}: {save_png(figure, out)}')
        else:
            measure(args)


def measure(args: argparse.Namespace) -> None:
    """Measure one kind of mask, print the figures, and write them if asked."""
    size = (args.size[0], args.size[-1])
    grid = dict(preset=args.preset, grid=args.grid)
    config = mask_config(args.mask, args.cut_ratio, **grid)
    regions = RegionCollaborativeCutout(**grid)
    found = mask_statistics(config, regions, size, args.count, args.seed)
    table = Table('statistic', 'value', title=f'{args.count} masks "{args.mask}", '
                  f'{size[0]} x {size[1]} cells')
    for name, value in found.items():
        table.add_row(name, f'{value:.4f}')
    Console().print(table)
    if args.json:
        settings = dict(mask=args.mask, size=list(size), grid=regions.grid, preset=args.preset,
                        cut_ratio=args.cut_ratio, count=args.count, seed=args.seed, config=config)
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({**found, 'settings': settings}, indent=2) + '\n')


def figure_11(seed: int) -> Figure:
    """Draw the cut ratio in a region against the number of regions."""
    ratios = {name: [] for name in ('rcc', 'cutout', 'rcc_printed')}
    for grid in track(FIGURE_GRIDS, description='figure 11'):
        regions = RegionCollaborativeCutout(grid=grid, **FIGURE_BOXES)
        for name, rows in ratios.items():
            config = mask_config(name, [FIGURE_RATIO], grid=grid, **FIGURE_BOXES)
            drawn = draw_masks(config, regions, FIGURE_SIZE, FIGURE_REPEATS, seed)
            values = torch.cat([region_ratio(masks, boxes).flatten() for masks, boxes in drawn])
            rows.append((values.mean().item(), values.std().item()))
    for name, rows in ratios.items():
        print(f'{name:12}', ' '.join(f'N={grid * grid}: {mean:.3f}'
                                     for grid, (mean, _) in zip(FIGURE_GRIDS, rows)))
    return collaboration_figure([grid * grid for grid in FIGURE_GRIDS],
                                {name: np.array(rows) for name, rows in ratios.items()},
                                FIGURE_RATIO)


def figure_12(seed: int) -> Figure:
    """Draw one mask of each type over the same 2 x 2 grid regions."""
    regions, masks, boxes = RegionCollaborativeCutout(grid=2, **FIGURE_BOXES), {}, {}
    for name in ('rectangle', 'random', 'blockwise', 'cutout', 'rcc'):
        config = mask_config(name, [FIGURE_RATIO], grid=2, **FIGURE_BOXES)
        mask, box = next(draw_masks(config, regions, PATCH_SIZE, 1, seed))
        masks[name] = mask[0].numpy()
        if name in ('rcc', 'cutout'):
            boxes[name] = box[0].numpy()
    return mask_types_figure(masks, boxes)


if __name__ == '__main__':
    main()
