"""Measures the coupling of networks on one shared set of draws, prints a table and draws the paper's figures.

Example:
    python tools/analysis_tools/coupling.py work_dirs/densecl work_dirs/densecl-d --dataset coco:data/coco --out OUT
    python tools/analysis_tools/coupling.py timm:vit_small_patch14_dinov2=dinov2_vits14.pth --dataset coco:data/coco
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from mmdecouple.evaluation.measures.catalog import measure_types
from mmdecouple.evaluation.measures.inter_coupling import REMOVALS
from mmdecouple.networks.network import LAYER, TRUST
from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, seed, whole
from mmdecouple.visualization.coupling_tool import DRAWS, draw_network_figures, measure_networks
from mmdecouple.visualization.map_tool import layer_title
from mmdecouple.visualization.terminal import print_reports


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'networks',
        nargs='+',
        metavar='NETWORK',
        help='CHECKPOINT.pth, RUN_FOLDER, CONFIG.py (untrained), CONFIG.py=CHECKPOINT.pth, timm:NAME, '
        'timm:NAME=FILE, or a weight file of a published ViT',
    )
    parser.add_argument('--names', nargs='+', help='names of the networks, in order (default: files and folders)')
    parser.add_argument(
        '--dataset',
        help="coco:ROOT, coco:ROOT:TRAIN:VAL, coco (data/coco) or scenes (default: from the first network's config)",
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/coupling'),
        help=f'folder of NAME.json, {DRAWS} and the figures (default: work_dirs/coupling)',
    )
    parser.add_argument(
        '--json', type=Path, help='for a single network: write the numbers to this file and nothing else'
    )
    parser.add_argument(
        '--size',
        type=positive,
        help='side in pixels to which images are resized, without keeping the aspect ratio (default for COCO: 224)',
    )
    parser.add_argument(
        '--cell', type=positive, help="side in pixels of a patch cell (default: the largest of the networks' cells)"
    )
    parser.add_argument(
        '--manifest',
        help='JSON file of the draws: read if it exists, otherwise written (default: new draws, '
        f'written to {DRAWS} in --out)',
    )
    parser.add_argument(
        '--measures',
        nargs='+',
        metavar='MEASURE',
        help=f'measures to run, of {", ".join(measure_types())} (default: all)',
    )
    parser.add_argument(
        '--removal',
        choices=REMOVALS,
        help='how cells of object A are removed in the inter-object ratio: filled with the mean color '
        "(mask), by shrinking A, or replaced by the network's mask token (default: mask)",
    )
    parser.add_argument(
        '--limit', type=positive, help='maximum number of images, pairs or objects per measure, for a quick look'
    )
    parser.add_argument('--measured', help='teacher or student, if a network has both (default: from the config)')
    parser.add_argument('--layer', help=LAYER)
    parser.add_argument('--remeasure', action='store_true', help='repeat measurements already made on the same draws')
    parser.add_argument('--seed', type=seed, default=0, help='seed of the draws and of untrained networks (default 0)')
    parser.add_argument('--batch-size', type=positive, default=32, help='images per batch (default 32)')
    parser.add_argument('--workers', type=whole, default=0, help='number of processes that render images (default 0)')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument('--allow-pickle', action='store_true', help=TRUST)
    args = parser.parse_args(argv)
    if args.json and len(args.networks) > 1:
        parser.error('--json supports a single network only; use --out')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    console = Console()
    with program():
        choose_device(args.device)
        say = partial(console.print, highlight=False, soft_wrap=True)
        try:
            networks, reports, paths = measure_networks(args, say)
        except KeyboardInterrupt:
            console.print('Stopped; run the same command to continue from the finished measurements.')
            sys.exit(130)
        print_reports(reports, layer_title(args.layer), console)
        for path in paths.values():
            say(f'report: {path}')
        if args.json is None:
            for path in draw_network_figures(networks, reports, args.out):
                say(f'figure: {path}')


if __name__ == '__main__':
    main()
