"""Measure what a kind of cut mask does, or draw the paper's figures 11 to 13, with the arrays behind them.

Examples:
    python tools/analysis_tools/masks.py --mask rcc --cut-ratio 0.4 --json rcc.json
    python tools/analysis_tools/masks.py --figure 11 --out figure_11.png
    python tools/analysis_tools/masks.py --figure 13 --mask rcc --images coco:data/coco
"""
import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from mmdecouple.evaluation.mask_statistics import (MASK_TYPES, collaboration, draw_masks, example_masks, mask_config,
                                                   mask_statistics)
from mmdecouple.masks import PRESETS, RegionCollaborativeCutout
from mmdecouple.models.decoupling.composition import mix_pixels
from mmdecouple.utils.arguments import integer, positive, real, seed
from mmdecouple.utils.errors import one_line_errors
from mmdecouple.utils.files import check_writable, write_arrays, write_json
from mmdecouple.utils.progress import shown_progress
from mmdecouple.visualization.batches import decoupled_batch_figure
from mmdecouple.visualization.masks import collaboration_figure, mask_types_figure
from mmdecouple.visualization.sample_images import WORDS, read_sample_images
from mmdecouple.visualization.style import save_png

FIGURE_RATIO = 0.4
FIGURE_BOXES = dict(box_area=(0.2, 1.0), aspect=(0.5, 2.0))
FIGURE_GRIDS = (1, 2, 3, 4, 5, 6)
FIGURE_REPEATS = 500
PIXELS = 224
PATCHES = (14, 14)
MOST_CELLS = 1024


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mask', choices=MASK_TYPES, default='rcc')
    parser.add_argument('--size', type=integer(1, MOST_CELLS), nargs='+', default=[14], metavar='CELLS',
                        help='cells along the side, or height and width (default: 14)')
    parser.add_argument('--grid', type=positive, help="boxes along each side (default: the preset's)")
    parser.add_argument('--preset', default='release', help=f'one of {", ".join(PRESETS)} (default: release)')
    parser.add_argument('--cut-ratio', type=real(0, 1), nargs='+', metavar='RATIO',
                        help="one number, or low and high (default: the mask's own)")
    parser.add_argument('--count', type=positive, default=3000, help='masks (default: 3000)')
    parser.add_argument('--seed', type=seed, default=0)
    parser.add_argument('--json', type=Path, help='write settings and figures here')
    parser.add_argument('--figure', type=int, choices=(11, 12, 13),
                        help='draw this figure of the paper: 11, the ratio that RCC and Cutout cut, and 12, the types '
                        "of masks, with the paper's own settings; 13, masks on images, with the settings above")
    parser.add_argument('--images', nargs='+', default=['scenes'], metavar='IMAGES',
                        help=f'of figure 13, at least two, each the background of another: {WORDS} (default: scenes)')
    parser.add_argument('--limit', type=positive, default=6, help='most images of figure 13 (default: 6)')
    parser.add_argument('--out', type=Path, help='PNG of --figure, its arrays go beside it as .npz (default: '
                        'figure_<number>.png)')
    args = parser.parse_args(argv)
    if len(args.size) > 2:
        parser.error(f'--size takes one or two numbers, got {args.size}')
    if args.cut_ratio and len(args.cut_ratio) > 2:
        parser.error(f'--cut-ratio takes one number, or low and high, got {args.cut_ratio}')
    if args.out and args.out.suffix.lower() != '.png':
        parser.error(f'--out takes the name of a PNG, got {args.out}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors():
        if args.figure:
            out = args.out or Path(f'figure_{args.figure}.png')
            for path in (out, out.with_suffix('.npz')):
                check_writable(path)
            figure, arrays = {11: figure_11, 12: figure_12, 13: figure_13}[args.figure](args)
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
        used = dict(mask=args.mask, size=list(size), grid=regions.grid, preset=args.preset, cut_ratio=args.cut_ratio,
                    count=args.count, seed=args.seed, config=config)
        write_json(args.json, {**found, 'settings': used}, indent=2)


def settings(args: argparse.Namespace) -> tuple[tuple[int, int], dict, RegionCollaborativeCutout]:
    """Cells of a mask, the config of its sampler, and the regions against which it is measured."""
    grid = dict(preset=args.preset, grid=args.grid)
    size = args.size[0], args.size[-1]
    return size, mask_config(args.mask, args.cut_ratio, **grid), RegionCollaborativeCutout(**grid)


def figure_11(args: argparse.Namespace) -> tuple[Figure, dict]:
    """Draw the cut ratio in a region against the number of regions."""
    with shown_progress('numbers of regions') as progress:
        ratios = collaboration(('rcc', 'cutout', 'rcc_printed'), FIGURE_GRIDS, FIGURE_RATIO, (PIXELS, PIXELS),
                               FIGURE_REPEATS, args.seed, progress, **FIGURE_BOXES)
    numbers = [grid * grid for grid in FIGURE_GRIDS]
    for name, rows in ratios.items():
        print(f'{name:12}', ' '.join(f'N={number}: {mean:.3f}' for number, (mean, _) in zip(numbers, rows)))
    return collaboration_figure(numbers, ratios, FIGURE_RATIO), dict(numbers=numbers, **ratios)


def figure_12(args: argparse.Namespace) -> tuple[Figure, dict]:
    """Draw one mask of each type over the same 2 x 2 grid regions."""
    types = ('rectangle', 'random', 'blockwise', 'cutout', 'rcc')
    masks, boxes = example_masks(types, FIGURE_RATIO, PATCHES, args.seed, **FIGURE_BOXES)
    return mask_types_figure(masks, boxes), {**masks, **{f'regions_{name}': box for name, box in boxes.items()}}


def figure_13(args: argparse.Namespace) -> tuple[Figure, dict]:
    """Draw images, their cut masks, and the decoupled views, each with the next image as background."""
    size, config, regions = settings(args)
    # Views are made of whole cells, as near to the usual size as they come.
    side = size[0] * max(1, round(PIXELS / size[0]))
    subjects = read_sample_images(args.images, side, args.limit)
    if len(subjects) < 2 or size[0] != size[1]:
        raise SystemExit(f'masks: figure 13 wants two images or more and as many rows as columns, got {len(subjects)} '
                         f'and {size[0]} x {size[1]} cells; name more --images or one --size.')
    images = np.stack([subject.image for subject in subjects])
    masks, _ = next(draw_masks(config, regions, size, len(images), args.seed))
    rows, views = torch.arange(len(images)), torch.from_numpy(images).permute(0, 3, 1, 2)
    partners = (rows + 1) % len(images)
    decoupled = mix_pixels(views, rows, partners, masks).permute(0, 2, 3, 1).numpy()
    return (decoupled_batch_figure(images, masks.numpy(), images[partners], decoupled, len(images)),
            dict(images=images, masks=masks, decoupled=decoupled, image_names=[subject.name for subject in subjects]))


if __name__ == '__main__':
    main()
