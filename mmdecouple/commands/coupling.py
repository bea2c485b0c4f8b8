"""Measures the coupling of networks on one shared set of draws, prints a table and draws the paper's figures.

Examples:
    mmdecouple coupling work_dirs/densecl work_dirs/densecl-d --data coco:data/coco --out OUT
    mmdecouple coupling timm:vit_small_patch14_dinov2=dinov2_vits14.pth --data coco:data/coco
    mmdecouple coupling work_dirs/densecl --data scenes --limit 20
    mmdecouple coupling work_dirs/ibot work_dirs/ibot-d --data coco:data/coco --layer all
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from rich.console import Console

from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program

from . import options
from .measuring import EVERY_LAYER, add_measuring_options, measure, opening


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    add_measuring_options(parser)
    options.add_out(parser, 'work_dirs/coupling', 'NAME.json of each network, draws.json and the figures')
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args, console = parse_args(argv), Console()
    with program():
        choose_device(args.device)
        from mmdecouple.networks.open_networks import open_networks
        from mmdecouple.visualization.coupling import DRAWS, add_differences, draw_figures
        from mmdecouple.visualization.depth import by_depth, print_depths
        from mmdecouple.visualization.runs import Run
        from mmdecouple.visualization.terminal import layer_title, print_reports

        say = partial(console.print, highlight=False, soft_wrap=True)
        networks = open_networks(args.networks, args.names, taken=(DRAWS,), **opening(args))
        try:
            reports = measure(args, networks, say)
        except KeyboardInterrupt:
            say('Stopped; run the same command to continue from the finished measurements.')
            sys.exit(130)
        add_differences(reports, args.out)
        depths = by_depth(networks, reports) if args.layer == EVERY_LAYER else []
        if depths:
            print_depths(depths, console)
            networks = {depth.name: depth.network for depth in depths}
        else:
            print_reports(reports, layer_title(args.layer), console)
        for name in reports:
            say(f'report: {args.out / name}.json')
        runs = [Run(name, reports[name], checkpoint=network.checkpoint) for name, network in networks.items()]
        for path in draw_figures(runs, args.out, depths):
            say(f'figure: {path}')
