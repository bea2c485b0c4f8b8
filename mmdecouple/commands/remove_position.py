"""Removes the place of a patch from the features of a network, as far as it can be read linearly.

    mmdecouple remove-position work_dirs/ibot --data folder:data/photos --out work_dirs/ibot-position
    mmdecouple coupling work_dirs/ibot projected:work_dirs/ibot-position/projection.pth:work_dirs/ibot --data coco

Row and column of a patch are regressed on its feature, the two directions are projected out, and this is repeated. The
projection is written to a file, and `projected:FILE:NETWORK` is the network with it, for every command that reads
features and for `convert --to onnx`. A quarter of the images is only used to print how much of the place can still be
read.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.data_spec import MEASURED
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import check_writable
from mmdecouple.utils.progress import shown_progress

from . import options

if TYPE_CHECKING:
    import numpy as np

    from mmdecouple.evaluation.position_removal import Moments

FILE = 'projection.pth'


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    parser.add_argument('network', metavar='NETWORK', help=options.NETWORKS)
    parser.add_argument('--allow-pickle', action='store_true', help=options.TRUST)
    options.add_data(parser, MEASURED, None, required=True)
    options.add_out(parser, None, FILE)
    options.add_role(parser)
    options.add_layer(parser)
    parser.add_argument(
        '--iterations',
        type=positive,
        metavar='N',
        default=3,
        help='number of times that two directions are removed (default: 3)',
    )
    options.add_limit(parser, 'images', 400)
    parser.add_argument(
        '--size',
        type=positive,
        metavar='PIXELS',
        help='side to which images are resized, without keeping the aspect ratio (default: 224; scenes: unchanged)',
    )
    options.add_seed(parser, 'the choice of images and of untrained networks')
    options.add_batch_size(parser, 32)
    options.add_device(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    with program():
        check_writable(args.out / FILE)
        choose_device(args.device)
        _run(args, Console())


def _run(args: argparse.Namespace, console: Console) -> None:
    import numpy as np
    import torch

    from mmdecouple.evaluation.measures.base import NothingToMeasure
    from mmdecouple.evaluation.position_removal import read_moments, removed_subspaces
    from mmdecouple.networks.network import open_network
    from mmdecouple.networks.projected import PROJECTED, Projection, backbone_digest
    from mmdecouple.visualization.coupling import Draws

    if args.network.startswith(PROJECTED):
        raise UserError(f'{args.network} is projected already; name its network, and raise --iterations.')
    if ':' in str(args.out):
        raise UserError(f'--out {args.out} has a colon, which separates file and network; choose another folder.')
    opened = dict(measured=args.role, layer=args.layer, seed=args.seed, allow_pickle=args.allow_pickle)
    network = open_network(args.network, **opened)
    draws = Draws(args.data, args.size, seed=args.seed, measures=['PositionLeak'], limit=args.limit)
    try:
        dataset = draws.build({network.name: network})
    except NothingToMeasure as error:
        reason = str(error).partition('left out, ')[2].removesuffix('.')
        raise UserError(
            f'remove-position: {reason}; use more images (--data, --limit), or larger ones (--size).'
        ) from error
    images = np.array(dataset.sources.query.images)
    images = np.random.default_rng(args.seed).permutation(images)[: args.limit].tolist()
    fitted = len(images) * 3 // 4
    parts = images[:fitted], images[fitted:]
    with shown_progress(f'{network.name}: images') as show:
        fit, other = read_moments(network.model, dataset.sources.query, parts, args.batch_size, show)
    if not fit.varies():
        raise UserError(
            f'{network.name}: its features are the same at every place of every image, so that they tell no place; '
            'choose another network.'
        )
    bases = removed_subspaces(fit, args.iterations)
    channels, removed = bases[-1].shape
    if 2 * args.iterations >= channels:
        # Rounding decides whether the last directions count.
        removed = channels
    if not 0 < removed < channels:
        raise UserError(
            f'{network.name}: {args.iterations} iterations would remove {removed} of the {channels} directions of its '
            'features; choose another network, or fewer --iterations.'
        )
    console.print(_table(network.name, fit, other, bases))
    facts = dict(data=dataset.sources.query.name, size=dataset.sources.size, images=fitted, iterations=args.iterations)
    digest = backbone_digest(network.model.measured_backbone)
    projection = Projection(torch.from_numpy(bases[-1]), digest, network.model.layer, args.role, facts)
    projection.write(args.out / FILE)
    console.print(
        f'Wrote {args.out / FILE}. The network with it: {PROJECTED}{args.out / FILE}:{args.network}',
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


def _table(name: str, fit: 'Moments', other: 'Moments', bases: 'Sequence[np.ndarray]') -> Table:
    from mmdecouple.evaluation.position_removal import kept_variance, place_read

    table = Table(title=Text(f'{name}: place read from a feature', 'table.title'), title_justify='left')
    for column in ('iteration', 'removed directions', 'R² on other images', 'variance kept (%)'):
        table.add_column(column, justify='right')
    for number, basis in enumerate([bases[0][:, :0], *bases]):
        read, kept = place_read(fit, other, basis), kept_variance(fit, basis)
        table.add_row(str(number), str(basis.shape[1]), f'{read:.3f}', f'{100 * kept:.1f}')
    return table
