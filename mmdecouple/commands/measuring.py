"""Options of the commands that measure coupling, and their networks, draws and measurement."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmdecouple.utils.arguments import positive
from mmdecouple.utils.data_spec import MEASURED
from mmdecouple.utils.files import check_regular

from . import options

if TYPE_CHECKING:
    from mmdecouple.networks.network import Network

EVERY_LAYER = 'all'
REMOVALS = ('mask', 'shrink', 'token')


def add_measuring_options(parser: argparse.ArgumentParser) -> None:
    """Adds the networks, and the options of their draws and measurement."""
    options.add_networks(parser)
    options.add_data(parser, MEASURED, "from the first network's config")
    options.add_role(parser)
    parser.add_argument(
        '--layer', metavar='LAYER', help=f'{options.LAYER}; {EVERY_LAYER}: each layer and the last map, in one pass'
    )
    parser.add_argument(
        '--measures',
        nargs='+',
        metavar='MEASURE',
        help='measures to run, such as OKNN or LSC (default: all but SpuriousShare)',
    )
    options.add_limit(parser, 'images, pairs, objects or windows per measure, for a quick look')
    parser.add_argument(
        '--size',
        type=positive,
        metavar='PIXELS',
        help='side to which images are resized, without keeping the aspect ratio (default: 224; scenes: unchanged)',
    )
    parser.add_argument(
        '--cell', type=positive, metavar='PIXELS', help="side of a patch cell (default: the largest of the networks')"
    )
    parser.add_argument(
        '--removal',
        choices=REMOVALS,
        help='how cells of object A are removed in the inter-object ratio: filled with the mean color (mask), by '
        "shrinking A, or replaced by the network's mask token (default: mask)",
    )
    parser.add_argument(
        '--manifest', metavar='FILE', help='draws.json of an earlier call, whose draws are used (default: new draws)'
    )
    parser.add_argument('--remeasure', action='store_true', help='repeat measurements already made on the same draws')
    options.add_seed(parser, 'the draws and of untrained networks')
    options.add_batch_size(parser, 32)
    options.add_workers(parser, 'render images')
    options.add_device(parser)


def opening(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of `open_network`."""
    return dict(measured=args.role, layer=args.layer, seed=args.seed, allow_pickle=args.allow_pickle)


def measure(args: argparse.Namespace, networks: 'dict[str, Network]', say: Callable[[str], None]) -> dict[str, dict]:
    """Measures networks on shared draws; see `measure_networks`.

    Raises:
        UserError: The manifest cannot be read, the data cannot be used, or a file cannot be written.
    """
    from mmdecouple.visualization.coupling import Draws, Reading, measure_networks

    if args.manifest is not None:
        check_regular(args.manifest, 'manifest')
    draws = Draws(args.data, args.size, args.cell, args.seed, args.manifest, args.measures, args.limit, args.removal)
    reading = Reading(args.role, args.batch_size, args.workers, args.remeasure)
    return measure_networks(networks, draws, reading, args.out, say)
