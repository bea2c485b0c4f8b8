"""Draws maps of local semantic consistency: the similarity of window features with and without the rest of the image.

Examples:
    python tools/analysis_tools/lsc.py work_dirs/ibot work_dirs/ibot-d --images coco:data/coco --out lsc
    python tools/analysis_tools/lsc.py timm:vit_small_patch14_dinov2=dinov2.pth --images photo.jpg --out lsc
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table

from mmdecouple.evaluation.local_consistency import PRECISIONS
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.files import check_writable, write_arrays, write_json
from mmdecouple.visualization.lsc_tool import check_upsample, maps_of, summary
from mmdecouple.visualization.map_tool import add_options, layer_title, open_named, save_pages, styles_of_networks
from mmdecouple.visualization.maps import lsc_figure

ARRAYS = 'lsc.npz'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, size=512, scenes=96, out='work_dirs/lsc')
    parser.add_argument('--window', type=positive, default=5, help='side of a window in cells, odd (default: 5)')
    parser.add_argument(
        '--upsample',
        type=positive,
        metavar='PIXELS',
        help='side in pixels to which cropped windows are enlarged, a multiple of every cell (default: not enlarged)',
    )
    parser.add_argument(
        '--precision', choices=PRECISIONS, default='fp32', help='precision of inference (default: fp32)'
    )
    parser.add_argument('--batch-size', type=positive, default=64, help='windows per batch (default: 64)')
    return parser.parse_args(argv)


def print_summaries(summaries: dict[str, dict], layer: str, console: Console) -> None:
    """Table of all means."""
    table = Table(Column('network', overflow='fold'), title=f'mean LSC ({layer})', title_justify='left')
    for column in ('mean', '95 % interval', 'images'):
        table.add_column(column, justify='right')
    for name, found in summaries.items():
        interval = f'{found["low"]:.4f} .. {found["high"]:.4f}' if found['count'] > 1 else '-'
        table.add_row(name, f'{found["value"]:.4f}', interval, str(found['count']))
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    args, console = parse_args(argv), Console()
    with program():
        check_writable(args.out / ARRAYS)
        networks, subjects = open_named(args)
        check_upsample(networks, args.upsample)
        try:
            settings = {key: getattr(args, key) for key in ('window', 'upsample', 'precision', 'batch_size')}
            maps = {
                name: maps_of(name, network, subjects, args.out / 'maps', **settings)
                for name, network in networks.items()
            }
        except KeyboardInterrupt:
            console.print('Stopped; run the same command to continue from the finished maps.')
            sys.exit(130)
        styles, images = styles_of_networks(networks), [subject.image for subject in subjects]
        summaries = {name: summary(found) for name, found in maps.items()}
        names = [subject.name for subject in subjects]
        report = dict(images=names, window=args.window, layer=args.layer, lsc=summaries)
        write_json(args.out / 'lsc.json', report, indent=2)
        arrays = write_arrays(
            args.out / ARRAYS,
            image_names=names,
            images=images,
            **{f'lsc_{name}': found for name, found in maps.items()},
        )
        print_summaries(summaries, layer_title(args.layer), console)
        for path in save_pages(
            args.out,
            'lsc',
            len(images),
            lambda page: lsc_figure(images[page], {name: found[page] for name, found in maps.items()}, styles),
        ):
            print(f'figure: {path}')
        print(f'arrays: {arrays}')


if __name__ == '__main__':
    main()
