"""Computes the box proposals of images by selective search, as SoCo does, and writes them to one file.

Example:
    mmdecouple proposals --data coco:data/coco --out data/coco/proposals --workers 16

writes data/coco/proposals/train2017.npz, which the transform `LoadProposals` reads. `mmdecouple/datasets/proposals.py`
describes the file. Finished chunks of images are kept in a hidden folder next to it (.NAME.npz.partial): after an
interruption the same command continues, and the file is the same, byte for byte, as without the interruption and with
any number of workers.

SoCo's own files (base name -> list of x, y, w, h) are converted instead of searched again:

    mmdecouple proposals --data coco:data/coco --out data/coco/proposals --import train2017_ratio3size0308post.json
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, real
from mmdecouple.utils.data_spec import FILES, image_files, read_spec
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import check_writable

from . import options

if TYPE_CHECKING:
    from mmdecouple.datasets.proposals import ProposalFile


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    options.add_data(parser, FILES, None, required=True)
    options.add_out(parser, None, 'NAME.npz')
    parser.add_argument('--name', metavar='NAME', help='name of the file and of the data (default: from --data)')
    parser.add_argument('--import', dest='soco', metavar='FILE', help="convert the boxes of SoCo's JSON file")
    options.add_workers(parser, 'search images', None)
    parser.add_argument(
        '--force', action='store_true', help='replace an existing file or an unfinished search with other settings'
    )
    for name, kind, default, meaning in (
        ('--scale', real(0), 300.0, "Felzenszwalb's scale"),
        ('--sigma', real(0), 0.9, 'blur before segmentation, in pixels'),
        ('--min-size', positive, 100, 'smallest segment, in pixels'),
        ('--min-side', positive, 32, 'smallest side of a box, in pixels'),
        ('--aspect', real(1), 3.0, 'largest ratio of the sides of a box'),
    ):
        parser.add_argument(name, type=kind, default=default, metavar='X', help=f'{meaning} (default: {default})')
    parser.add_argument(
        '--share',
        type=real(0, 1),
        nargs=2,
        default=(0.3, 0.8),
        metavar=('LOW', 'HIGH'),
        help='limits of the side of a box (geometric mean) relative to that of the image (default: 0.3 0.8)',
    )
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    read = parser()
    args = read.parse_args(argv)
    if args.share[0] > args.share[1]:
        read.error(f'--share must be LOW and HIGH in this order, got {list(args.share)}')
    for key in ('scale', 'sigma', 'share'):
        if np.min(getattr(args, key)) <= 0:
            read.error(f'--{key} must be positive, got {getattr(args, key)}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args, console = parse_args(argv), Console()
    with program():
        images = image_files(read_spec(args.data, FILES))
        name = args.name or images.name
        out = args.out / f'{name}.npz'
        check_writable(out)
        if out.exists() and not args.force:
            raise UserError(f'{out} exists; choose another --name or --out, or replace it with --force.')
        from mmdecouple.datasets.listing import list_images
        from mmdecouple.datasets.proposals import ProposalFile

        paths = list_images('', images.listing, images.folder)
        names = [os.path.relpath(path, images.folder) for path in paths]
        if args.soco:
            from mmdecouple.datasets.soco_proposals import convert

            header = convert(out, images.folder, names, args.soco, name)
        else:
            header = _search(args, out, images.folder, names, name, console)
        _summarize(ProposalFile.open(out), header, console)


def _search(
    args: argparse.Namespace, out: Path, folder: str, names: list[str], name: str, console: Console
) -> dict[str, Any]:
    from mmdecouple.runs.proposal_search import ProposalSearch

    search = dict(scale=args.scale, sigma=args.sigma, min_size=args.min_size)
    keep = dict(min_side=args.min_side, aspect=args.aspect, share=list(args.share))
    task = ProposalSearch(out, folder, names, name, search, keep)
    try:
        return task.run(max(args.workers, 1), console, restart=args.force)
    except KeyboardInterrupt:
        console.print(f'Stopped; finished images are kept in {task.folder}; run the same command to continue.')
        raise SystemExit(130) from None


def _summarize(file: 'ProposalFile', header: dict[str, Any], console: Console) -> None:
    counts = np.diff(file.offsets)
    console.print(
        f'Wrote {file.path}: {counts.sum()} boxes of {len(counts)} images (mean {counts.mean():.1f}, median '
        f'{np.median(counts):.0f}), {(counts == 0).sum()} images without a box; {header["clipped"]} boxes were clipped '
        f'to their image and {header["dropped"]} outside it dropped.',
        highlight=False,
        soft_wrap=True,
    )
