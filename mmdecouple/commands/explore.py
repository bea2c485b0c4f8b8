"""Opens a local page that shows, for a chosen point of an image, the affinity maps of several networks side by side.

It also shows the principal components of the features, and how they change when the surroundings of an object or region
are replaced by those of another image, for every layer of the networks.

Examples:
    mmdecouple explore work_dirs/a work_dirs/b --data photos/
    mmdecouple explore work_dirs/a timm:vit_small_patch14_dinov2=dinov2.pth --data coco:data/coco
    mmdecouple explore work_dirs/a work_dirs/b --data photos/ --out work_dirs/page --layers 6 9 last
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import integer, whole
from mmdecouple.utils.files import check_writable
from mmdecouple.utils.progress import shown_progress

from . import options
from .mapping import add_map_options, open_all

if TYPE_CHECKING:
    from mmdecouple.visualization.explorer import Session

PAGE = 'explore.html'


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__, {'--layer': '--layers LAYER ...'})
    add_map_options(parser, size=448, limit=24, layer=False)
    parser.add_argument(
        '--layers',
        nargs='+',
        metavar='LAYER',
        help='layers that can be chosen in the page: blocks of a ViT by number from 1, stages of a CNN by name, last '
        '(as measured), or all (default: all in a served page, last in a file)',
    )
    options.add_out(
        parser, None, f'{PAGE}, the page as one file that needs neither server nor networks', 'the page is served'
    )
    parser.add_argument(
        '--regions',
        type=whole,
        metavar='N',
        default=1,
        help='objects or regions of an image that a file contains with foreign surroundings; a served page computes '
        'them on request (default: 1)',
    )
    parser.add_argument(
        '--lsc',
        action='store_true',
        help='compute LSC maps in advance: in a file of all its layers, which has none without this option; for a '
        'served page of the layer it opens with, others on request',
    )
    parser.add_argument(
        '--port',
        type=integer(0, 65535),
        default=0,
        metavar='N',
        help='port of the page on 127.0.0.1 (default: a free one)',
    )
    parser.add_argument('--no-browser', action='store_true', help='print the address without opening a browser')
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    with program():
        if args.out:
            check_writable(args.out / PAGE)
        from mmdecouple.visualization.explorer import ExplorerServer, Session, check_count, free_port

        port = free_port(args.port)
        check_count(len(args.networks))
        opened, images = open_all(args)
        networks = [replace(network, name=name) for name, network in opened.items()]
        layers = args.layers or ['last' if args.out else 'all']
        session = Session(networks, images, exact=args.out is None, layers=layers)
        if args.out:
            _export(session, args)
            return
        if args.lsc:
            with shown_progress('LSC maps') as progress:
                session.all_consistencies(progress)
        server = ExplorerServer(session, port)
        print(
            f'Explorer of {len(networks)} networks on {len(images)} images: {server.address} (Ctrl-C ends it)',
            flush=True,
        )
        server.run(browser=not args.no_browser)


def _export(session: 'Session', args: argparse.Namespace) -> None:
    from mmdecouple.visualization.explorer import write_page

    with shown_progress('results') as progress:
        size = write_page(session, args.out / PAGE, lsc=args.lsc, regions=args.regions, progress=progress)
    print(
        f'{args.out / PAGE}: {len(session.subjects)} images, {len(session.networks)} networks, {size / 2**20:.1f} MB, '
        f'largest error of an affinity {session.error:.4f}'
    )
