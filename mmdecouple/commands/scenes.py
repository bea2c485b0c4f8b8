"""Writes built-in scenes as a COCO-format data set with ADE-style index images.

Example:
    mmdecouple scenes --out data/scenes --train 5000 --val 500 --size 128

writes

    data/scenes/train/000000000000.png ...        the pixels, losslessly
    data/scenes/val/...
    data/scenes/annotations/instances_{train,val}.json   boxes, RLE masks, category ids 1 to 12
    data/scenes/semantic/{train,val}/*.png        0 = background, class i = i + 1
    data/scenes/semantic/classes.json             names of these values
    data/scenes/scenes.json                       the scene settings

Everything is written to a hidden folder next to the target and renamed at the end, so the target exists
only when it is complete. A killed export leaves that folder (.NAME.partial-PID) behind, which can be deleted.
"""

import argparse
from collections.abc import Sequence

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import writing
from mmdecouple.utils.progress import shown_stages

from . import options
from .scene_options import add_scene_options, read_scenes


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    options.add_out(parser, None, 'the data set, which must not exist')
    parser.add_argument(
        '--train', type=positive, default=1000, metavar='N', help='number of training scenes (default: 1000)'
    )
    parser.add_argument(
        '--val', type=positive, default=200, metavar='N', help='number of validation scenes (default: 200)'
    )
    options.add_workers(parser, 'render scenes')
    parser.add_argument('--force', action='store_true', help='replace an earlier export')
    add_scene_options(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    with program():
        from mmdecouple.datasets.scenes.export import MARK, export

        spec = read_scenes(args)
        if args.out.exists() and not args.force:
            raise UserError(f'{args.out} exists; name another folder, or replace it with --force.')
        if args.out.exists() and not (args.out / MARK).is_file():
            raise UserError(
                f'{args.out} is not an earlier export (it has no {MARK}), so --force does not replace it; name another '
                'folder.'
            )
        try:
            with shown_stages() as show, writing(args.out):
                export(args.out, spec, dict(train=args.train, val=args.val), max(args.workers, 1), show)
        except KeyboardInterrupt:
            print(f'Stopped; {args.out} was not written.')
            raise SystemExit(130) from None
    print(f'Wrote {args.train} + {args.val} scenes to {args.out}.')
