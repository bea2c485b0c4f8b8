"""Computes the box proposals of a data set by selective search, as SoCo does, and writes them to one file.

    python tools/dataset_tools/selective_search.py data/coco/proposals/train2017.npz \
        --images data/coco/train2017 --ann data/coco/annotations/instances_train2017.json --workers 16

Without --ann every image in the folder is searched. `mmdecouple/datasets/proposals.py` describes the file; the
transform `LoadProposals` reads it. Finished chunks of images are kept in a hidden folder next to the file
(.NAME.partial): after an interruption the same command continues, and the file is the same, byte for byte, as without
the interruption and with any number of workers.

SoCo's own files (base name -> list of x, y, w, h) are converted instead of searched again:

    python tools/dataset_tools/selective_search.py data/coco/proposals/train2017.npz \
        --images data/coco/train2017 --import train2017_ratio3size0308post.json
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mmdecouple.datasets.listing import list_images
from mmdecouple.datasets.proposals import ProposalFile
from mmdecouple.datasets.soco_proposals import convert
from mmdecouple.runs.proposal_search import ProposalSearch
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, real
from mmdecouple.utils.files import check_writable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='file to write (*.npz)')
    parser.add_argument('--images', required=True, metavar='DIR', help='image folder')
    parser.add_argument('--ann', metavar='FILE', help='COCO annotation file (*.json) or list file (*.txt)')
    parser.add_argument('--name', help='name of the data set in messages (default: from --ann or the folder)')
    parser.add_argument('--import', dest='soco', metavar='FILE', help="convert the boxes of SoCo's JSON file")
    parser.add_argument('--workers', type=positive, default=os.cpu_count(), metavar='N', help='number of processes')
    parser.add_argument(
        '--force', action='store_true', help='replace an existing file or an unfinished search with other settings'
    )
    parser.add_argument('--scale', type=real(0), default=300.0, help="Felzenszwalb's scale")
    parser.add_argument('--sigma', type=real(0), default=0.9, help='blur before segmentation, in pixels')
    parser.add_argument('--min-size', type=positive, default=100, help='smallest segment, in pixels')
    parser.add_argument('--min-side', type=positive, default=32, help='smallest side of a box, in pixels')
    parser.add_argument('--aspect', type=real(1), default=3.0, help='largest ratio of the sides of a box')
    parser.add_argument(
        '--share',
        type=real(0, 1),
        nargs=2,
        default=(0.3, 0.8),
        metavar=('LOW', 'HIGH'),
        help='limits of the side of a box (geometric mean) relative to that of the image',
    )
    args = parser.parse_args()
    search = dict(scale=args.scale, sigma=args.sigma, min_size=args.min_size)
    keep = dict(min_side=args.min_side, aspect=args.aspect, share=list(args.share))
    if args.out.suffix != '.npz':
        parser.exit(2, f'{parser.prog}: {args.out} must end with .npz.\n')
    if args.share[0] > args.share[1]:
        parser.exit(2, f'{parser.prog}: --share must be LOW and HIGH in this order, got {list(args.share)}.\n')
    if args.out.exists() and not args.force:
        parser.exit(2, f'{parser.prog}: {args.out} exists; name another file, or replace it with --force.\n')
    for key, value in (*search.items(), *keep.items()):
        if min(np.atleast_1d(value)) <= 0:
            parser.exit(2, f'{parser.prog}: --{key.replace("_", "-")} must be positive, got {value}.\n')
    console = Console()
    with program():
        check_writable(args.out)
        names = [os.path.relpath(path, args.images) for path in list_images('', args.ann, args.images)]
        dataset = args.name or Path(args.ann or os.path.abspath(args.images)).stem
        if args.soco:
            header = convert(args.out, args.images, names, args.soco, dataset)
        else:
            task = ProposalSearch(args.out, args.images, names, dataset, search, keep)
            try:
                header = task.run(args.workers, console, restart=args.force)
            except KeyboardInterrupt:
                parser.exit(
                    130,
                    f'{parser.prog}: stopped; finished images are kept in {task.folder}; run the same command '
                    'to continue.\n',
                )
        summarize(ProposalFile.open(args.out), header, console)


def summarize(file: ProposalFile, header: dict[str, Any], console: Console) -> None:
    """Prints what a finished file holds."""
    counts = np.diff(file.offsets)
    console.print(
        f'Wrote {file.path}: {counts.sum()} boxes of {len(counts)} images (mean {counts.mean():.1f}, median '
        f'{np.median(counts):.0f}), {(counts == 0).sum()} images without a box; {header["clipped"]} boxes were clipped '
        f'to their image and {header["dropped"]} outside it dropped.',
        highlight=False,
        soft_wrap=True,
    )


if __name__ == '__main__':
    main()
