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
from mmdecouple.evaluation.probes.manifest import write_manifest
from mmdecouple.networks.network import LAYER, TRUST
from mmdecouple.networks.open_networks import open_networks
from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, seed, whole
from mmdecouple.utils.files import check_writable
from mmdecouple.visualization.coupling import Draws, Reading, add_differences, draw_figures
from mmdecouple.visualization.map_tool import layer_title
from mmdecouple.visualization.runs import Run
from mmdecouple.visualization.terminal import full_table

DRAWS = 'draws.json'


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


def print_reports(reports: dict[str, dict], layer: str, console: Console) -> None:
    """Table of all numbers with their intervals and differences, then the remarks on the draws."""
    reference, first = next(iter(reports.items()))
    if not console.is_terminal:
        # A log has no width, and rich would fold the numbers to one of 80 columns.
        console = Console(width=48 + 32 * len(reports))
    console.print(full_table(reports, layer))
    if len(reports) > 1:
        console.print(
            f'Δ: difference to {reference} on the same draws; in brackets its paired 95 % interval, for '
            'numbers that are means over the drawn items.',
            highlight=False,
        )
    for note in first['notes']:
        console.print(f'note: {note}', highlight=False)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    console = Console()
    with program():
        choose_device(args.device)
        networks = open_networks(
            args.networks,
            args.names,
            taken=(Path(DRAWS).stem,),
            measured=args.measured,
            layer=args.layer,
            seed=args.seed,
            allow_pickle=args.allow_pickle,
        )
        paths = {name: args.json or args.out / f'{name}.json' for name in networks}
        for path in paths.values():
            check_writable(path)
        if args.manifest and not Path(args.manifest).is_file():
            check_writable(args.manifest)
        draws = Draws(
            args.dataset, args.size, args.cell, args.seed, args.manifest, args.measures, args.limit, args.removal
        )
        dataset = draws.build(networks)
        if args.json is None and args.manifest is None:
            write_manifest(args.out / DRAWS, dataset.manifest)
        reading = Reading(args.layer, args.measured, args.batch_size, args.workers, args.remeasure)
        say = partial(console.print, highlight=False, soft_wrap=True)
        try:
            reports = {
                name: reading.measure(name, network, paths[name], dataset, say) for name, network in networks.items()
            }
        except KeyboardInterrupt:
            console.print('Stopped; run the same command to continue from the finished measurements.')
            sys.exit(130)
        add_differences(reports, paths)
        print_reports(reports, layer_title(args.layer), console)
        for path in paths.values():
            say(f'report: {path}')
        if args.json is None:
            runs = [Run(name, reports[name], checkpoint=network.checkpoint) for name, network in networks.items()]
            for path in draw_figures(runs, args.out):
                say(f'figure: {path}')


if __name__ == '__main__':
    main()
