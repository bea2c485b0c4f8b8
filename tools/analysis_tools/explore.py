"""Opens a local page that shows, for a chosen point of an image, the affinity maps of several networks side by side.

Examples:
    python tools/analysis_tools/explore.py work_dirs/a/epoch_10.pth work_dirs/b/epoch_10.pth photos/
    python tools/analysis_tools/explore.py work_dirs/a timm:vit_small_patch14_dinov2=dinov2.pth --images coco:data/coco
    python tools/analysis_tools/explore.py work_dirs/a work_dirs/b photos/ --export affinity.html
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmdecouple.networks.network import LAYER, TRUST, open_network
from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import integer, positive, seed
from mmdecouple.utils.progress import shown_progress
from mmdecouple.visualization.explorer import ExplorerServer, Session, check_count, check_page, free_port, write_page
from mmdecouple.visualization.sample_images import SOURCES, read_sample_images

SIZE = 448
LIMIT = 24


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='%(prog)s NETWORK [NETWORK ...] IMAGES [options]',
    )
    parser.add_argument(
        'words',
        nargs='+',
        metavar='NETWORK, IMAGES',
        help='networks: CHECKPOINT.pth, RUN_FOLDER, CONFIG.py (untrained), CONFIG.py=CHECKPOINT.pth, '
        'timm:NAME or timm:NAME=FILE; without --images, the last argument gives the images',
    )
    parser.add_argument('--images', nargs='+', metavar='IMAGES', help=SOURCES)
    parser.add_argument('--names', nargs='+', metavar='NAME', help='names of the networks, in order')
    parser.add_argument(
        '--size',
        type=positive,
        default=SIZE,
        help="side in pixels of the input images, rounded to the nearest multiple of each network's "
        f'cell (default: {SIZE})',
    )
    parser.add_argument('--limit', type=positive, default=LIMIT, help=f'maximum number of images (default: {LIMIT})')
    parser.add_argument(
        '--export',
        type=Path,
        metavar='FILE.html',
        help='write one file that works without server and networks, and exit',
    )
    parser.add_argument(
        '--lsc',
        action='store_true',
        help='compute all LSC maps in advance (a served page computes them on request; an exported '
        'file contains them only with this option)',
    )
    parser.add_argument(
        '--port', type=integer(0, 65535), default=0, help='port of the page on 127.0.0.1 (default: a free one)'
    )
    parser.add_argument('--no-browser', action='store_true', help='print the address without opening a browser')
    parser.add_argument('--measured', choices=('teacher', 'student'), help='teacher or student, if a network has both')
    parser.add_argument('--layer', help=LAYER)
    parser.add_argument('--seed', type=seed, default=0, help='seed of networks without weights (default: 0)')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')
    parser.add_argument('--allow-pickle', action='store_true', help=TRUST)
    args = parser.parse_intermixed_args(argv)
    if args.images is None:
        args.images = [args.words.pop()]
    if not args.words:
        parser.error('specify at least one network, and the images as the last argument or after --images')
    if args.names and len(args.names) != len(args.words):
        parser.error(f'--names requires one name for each of the {len(args.words)} networks, got {len(args.names)}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    with program():
        choose_device(args.device)
        port = free_port(args.port)
        if args.export:
            check_page(args.export)
        check_count(len(args.words))
        subjects = read_sample_images(args.images, args.size, args.limit)
        networks = [
            open_network(word, measured=args.measured, layer=args.layer, seed=args.seed, allow_pickle=args.allow_pickle)
            for word in args.words
        ]
        if args.names:
            networks = [replace(network, name=name) for network, name in zip(networks, args.names)]
        session = Session(networks, subjects, exact=args.export is None)
        if args.export:
            with shown_progress('images') as progress:
                size = write_page(session, args.export, lsc=args.lsc, progress=progress)
            print(
                f'{args.export}: {len(subjects)} images, {len(networks)} networks, {size / 2**20:.1f} MB, '
                f'largest error of an affinity {session.error:.4f}'
            )
            return
        for index in range(len(subjects) if args.lsc else 0):
            with shown_progress(f'LSC of {subjects[index].name}') as progress:
                session.consistency(index, progress)
        server = ExplorerServer(session, port)
        print(
            f'Explorer of {len(networks)} networks on {len(subjects)} images: {server.address} (Ctrl-C ends it)',
            flush=True,
        )
        server.run(browser=not args.no_browser)


if __name__ == '__main__':
    main()
