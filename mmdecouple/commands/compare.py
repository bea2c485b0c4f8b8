"""Compares networks: measures them on one shared set of draws, writes report.html and prints a table.

The report shows the training curves of run folders too.

Examples:
    mmdecouple compare work_dirs/densecl work_dirs/densecl-d --untrained
    mmdecouple compare work_dirs/ibot-d timm:vit_small_patch14_dinov2=dinov2.pth --data coco:data/coco --limit 200
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program
from mmdecouple.utils.errors import MissingFile
from mmdecouple.utils.files import check_writable

from . import options
from .measuring import EVERY_LAYER, add_measuring_options, measure, opening


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    add_measuring_options(parser)
    parser.add_argument('--untrained', action='store_true', help='add the first network with random weights')
    parser.add_argument(
        '--title', default='Coupling report', metavar='TEXT', help='heading of the report (default: Coupling report)'
    )
    options.add_out(parser, 'work_dirs/report', 'report.html, its figures, NAME.json of each network and draws.json')
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args, console = parse_args(argv), Console()
    with program():
        check_writable(args.out / 'report.html')
        choose_device(args.device)
        from mmdecouple.networks.network import untrained_spec
        from mmdecouple.networks.open_networks import open_networks
        from mmdecouple.visualization.comparison import UNTRAINED, compare
        from mmdecouple.visualization.coupling import DRAWS
        from mmdecouple.visualization.depth import by_depth
        from mmdecouple.visualization.runs import Run, read_scalars

        say = partial(console.print, highlight=False, soft_wrap=True)
        specs, networks = args.networks, {}
        if args.untrained:
            specs = [untrained_spec(specs[0]), *specs]
            networks = open_networks(specs[:1], [UNTRAINED], **opening(args))
        networks |= open_networks(args.networks, args.names, taken=(DRAWS, *networks), **opening(args))
        try:
            reports = measure(args, networks, say)
        except KeyboardInterrupt:
            say('Stopped; run the same command to continue from the finished measurements.')
            sys.exit(130)
        depths, shown = [], opening(args)
        if args.layer == EVERY_LAYER:
            depths = by_depth(networks, reports)
            networks, shown = {depth.name: depth.network for depth in depths}, {**shown, 'layer': None}
        runs = []
        for spec, (name, network) in zip(specs, networks.items()):
            folder = Path(spec) if Path(spec).is_dir() else None
            try:
                scalars = read_scalars(folder) if folder else {}
            except MissingFile as error:
                scalars = {}
                say(f'Left out of the report: {error}')
            runs.append(Run(name, reports[name], folder, network.config, network.checkpoint, spec, scalars))
        compare(runs, args.out, data=args.data, opening=shown, title=args.title, depths=depths, console=console)
