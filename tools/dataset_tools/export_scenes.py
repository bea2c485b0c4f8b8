"""Writes built-in scenes as a COCO-format data set with ADE-style index images.

    python tools/dataset_tools/export_scenes.py data/scenes --train 5000 --val 500 --size 128

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
from pathlib import Path

from mmdecouple.datasets.scenes.arguments import add_scene_arguments, parse_scene_spec
from mmdecouple.datasets.scenes.export import MARK, export
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.progress import shown_stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write; must not exist')
    parser.add_argument('--train', type=positive, default=1000, metavar='N', help='number of training scenes')
    parser.add_argument('--val', type=positive, default=200, metavar='N', help='number of validation scenes')
    parser.add_argument('--workers', type=positive, default=1, metavar='N', help='number of processes')
    parser.add_argument('--force', action='store_true', help='replace an earlier export')
    add_scene_arguments(parser)
    args = parser.parse_args()
    spec = parse_scene_spec(parser, args)
    counts = dict(train=args.train, val=args.val)
    if args.out.exists() and not args.force:
        parser.exit(2, f'{parser.prog}: {args.out} exists; name another folder, or replace it with --force.\n')
    if args.out.exists() and not (args.out / MARK).is_file():
        parser.exit(
            2,
            f'{parser.prog}: {args.out} is not an earlier export (it has no {MARK}), so '
            '--force does not replace it; name another folder.\n',
        )
    try:
        with shown_stages() as show:
            export(args.out, spec, counts, args.workers, show)
    except KeyboardInterrupt:
        parser.exit(130, f'{parser.prog}: stopped; {args.out} was not written.\n')
    except OSError as error:
        parser.exit(1, f'{parser.prog}: {error}; {args.out} was not written.\n')
    print(f'Wrote {args.train} + {args.val} scenes to {args.out}.')


if __name__ == '__main__':
    main()
