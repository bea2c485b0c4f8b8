"""Draws maps of local semantic consistency: the similarity of window features with and without the rest of the image.

Examples:
    python tools/analysis_tools/lsc.py work_dirs/ibot work_dirs/ibot-d --images coco:data/coco --out lsc
    python tools/analysis_tools/lsc.py timm:vit_small_patch14_dinov2=dinov2.pth --images photo.jpg --out lsc
"""

import argparse
import math
import sys
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from mmdecouple.evaluation import lsc_maps, stats
from mmdecouple.evaluation.local_consistency import PRECISIONS
from mmdecouple.networks.network import Network
from mmdecouple.networks.open_networks import fingerprint
from mmdecouple.runs.progress import shown_progress
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.files import check_writable, write_arrays, write_json
from mmdecouple.visualization.map_tool import (
    add_options,
    cached,
    layer_title,
    open_named,
    save_pages,
    styles_of_networks,
)
from mmdecouple.visualization.maps import lsc_figure
from mmdecouple.visualization.sample_images import SampleImage, normalized

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


def check_upsample(networks: dict[str, Network], upsample: int | None) -> None:
    """End the program if an enlarged window does not divide into the cells of every network."""
    common = math.lcm(*(network.cell for network in networks.values()))
    if upsample is not None and upsample % common:
        sys.exit(
            f'lsc: --upsample {upsample} is not a multiple of the cells of {", ".join(networks)}; give a multiple of '
            f'{common} pixels.'
        )


def maps_of(name: str, network: Network, subjects: Sequence[SampleImage], args: argparse.Namespace) -> list[np.ndarray]:
    """The map (h, w) of every image, computed now or kept from an earlier call."""
    weights, maps = fingerprint(network), []
    for number, subject in enumerate(subjects, 1):
        image = normalized(network.model, [subject.image], network.cell)
        facts = (weights, subject.image, tuple(image.shape), network.cell, args.window, args.upsample, args.precision)
        with shown_progress(f'{name}, image {number} of {len(subjects)}: windows') as progress:
            maps.append(
                cached(
                    args.out / 'maps',
                    facts,
                    lambda: lsc_maps(
                        network.model,
                        image,
                        network.cell,
                        args.window,
                        batch_size=args.batch_size,
                        upsample=args.upsample,
                        precision=args.precision,
                        progress=progress,
                    )[0].numpy(),
                )
            )
    return maps


def summary(maps: Sequence[np.ndarray]) -> dict[str, object]:
    """Mean over images of the mean of a map, with its bootstrap interval, the count, and the mean of every image."""
    means = [float(value.mean()) for value in maps]
    return dict(**stats.estimate(stats.mean(means), range(len(means)))._asdict(), images=means)


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
            maps = {name: maps_of(name, network, subjects, args) for name, network in networks.items()}
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
