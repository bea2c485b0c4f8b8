"""Options of the commands that draw a map per network and image, and their networks and images."""

import argparse
from typing import TYPE_CHECKING

from mmdecouple.runs.launch import choose_device
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.data_spec import PICTURES

from . import options
from .measuring import opening

if TYPE_CHECKING:
    from mmdecouple.networks.network import Network
    from mmdecouple.visualization.sample_images import SampleImage


def add_map_options(
    parser: argparse.ArgumentParser, size: int, scenes: int | None = None, limit: int = 6, layer: bool = True
) -> None:
    """Adds the networks and images.

    Args:
        parser: Parser of the command.
        size: Default side of an image in pixels.
        scenes: Default side of built-in scenes in pixels; None for `size`.
        limit: Default number of images.
        layer: Whether one layer is read, which `--layer` names.
    """
    options.add_networks(parser)
    options.add_data(parser, PICTURES, None, required=True, several=True)
    options.add_limit(parser, 'images', limit)
    shown = f'{size}' if scenes is None else f'{size}; scenes: {scenes}'
    parser.add_argument(
        '--size',
        type=positive,
        metavar='PIXELS',
        help=f'side at which networks see the images; they take the nearest multiple of their cell (default: {shown})',
    )
    options.add_role(parser)
    if layer:
        options.add_layer(parser)
    options.add_seed(parser, 'untrained networks')
    options.add_device(parser)
    parser.set_defaults(usual_size=size, scene_size=scenes or size, **({} if layer else dict(layer=None)))


def open_images(args: argparse.Namespace) -> 'list[SampleImage]':
    """Reads the images."""
    from mmdecouple.visualization.sample_images import read_sample_images

    scenes = all(spec.partition(':')[0] == 'scenes' for spec in args.data)
    return read_sample_images(args.data, args.size or (args.scene_size if scenes else args.usual_size), args.limit)


def open_all(args: argparse.Namespace) -> 'tuple[dict[str, Network], list[SampleImage]]':
    """Opens the networks and the images; images first, as they are read faster."""
    choose_device(args.device)
    from mmdecouple.networks.open_networks import open_networks

    images = open_images(args)
    return open_networks(args.networks, args.names, **opening(args)), images
