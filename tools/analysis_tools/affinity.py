"""Draws point affinity: the similarity of the feature at one point to the features at all other positions.

Examples:
    python tools/analysis_tools/affinity.py work_dirs/densecl work_dirs/densecl-d --images coco:data/coco --out affinity
    python tools/analysis_tools/affinity.py work_dirs/ibot-d --images photo.jpg --point 0.4 0.6 --point 0.8 0.2
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from mmdecouple.networks.inference import evaluating
from mmdecouple.networks.network import Network
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import real
from mmdecouple.utils.files import check_writable, write_arrays
from mmdecouple.utils.progress import shown_progress
from mmdecouple.visualization.affinity import SCALES, affinity_figure, check_points, point_affinity
from mmdecouple.visualization.map_tool import add_options, open_named, save_pages, styles_of_networks
from mmdecouple.visualization.sample_images import SampleImage, normalized

CENTER = (0.5, 0.5)
ARRAYS = 'affinity.npz'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, size=448, scenes=192, out='work_dirs/affinity')
    parser.add_argument(
        '--point',
        type=real(),
        nargs=2,
        action='append',
        metavar=('X', 'Y'),
        help='point in every image, as fractions of width and height in [0, 1]; may be repeated '
        '(default: the center of the largest instance if instances are annotated, otherwise of '
        'the image)',
    )
    parser.add_argument(
        '--scale',
        choices=SCALES,
        default='fixed',
        help='color scale: fixed = 0 to 1 for all, to compare networks; per_map = minimum to maximum '
        'of each map (default: fixed)',
    )
    return parser.parse_args(argv)


@torch.no_grad()
def maps_of(network: Network, subject: SampleImage, points: Sequence[tuple[float, float]]) -> list[np.ndarray]:
    """The affinity map of every point, at twice the resolution of the network's map."""
    with evaluating(network.model):
        features = network.model.dense_features(normalized(network.model, [subject.image], network.cell))
    found = point_affinity(features.expand(len(points), -1, -1, -1), torch.tensor(points, device=features.device))
    return list(found.cpu().numpy())


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    with program():
        check_writable(args.out / ARRAYS)
        given = [tuple(point) for point in args.point or ()]
        check_points(torch.tensor(given))
        networks, subjects = open_named(args)
        chosen = [given or subject.points or (CENTER,) for subject in subjects]
        maps: dict[str, list[np.ndarray]] = {name: [] for name in networks}
        with shown_progress('images') as progress:
            for number, (subject, points) in enumerate(zip(subjects, chosen), 1):
                for name, network in networks.items():
                    maps[name] += maps_of(network, subject, points)
                progress(number, len(subjects))
        points = [point for group in chosen for point in group]
        owners = [index for index, group in enumerate(chosen) for _ in group]
        arrays = write_arrays(
            args.out / ARRAYS,
            image_names=[subject.name for subject in subjects],
            images=[subject.image for subject in subjects],
            points=points,
            image_of_point=owners,
            layer=args.layer or '',
            **{f'affinity_{name}': found for name, found in maps.items()},
        )
        styles, images = styles_of_networks(networks), [subjects[index].image for index in owners]
        for path in save_pages(
            args.out,
            f'affinity_{args.scale}',
            len(points),
            lambda page: affinity_figure(
                images[page], points[page], {name: found[page] for name, found in maps.items()}, styles, args.scale
            ),
        ):
            print(f'figure: {path}')
        print(f'arrays: {arrays}')


if __name__ == '__main__':
    main()
