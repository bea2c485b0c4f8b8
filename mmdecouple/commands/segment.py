"""Evaluates segmentation with the frozen features of networks, and prints a table of mIoU for each.

Examples:
    mmdecouple segment work_dirs/ibot work_dirs/ibot-d --data voc:data/VOCdevkit
    mmdecouple segment work_dirs/ibot-d --data scenes --quick
"""

import argparse
from collections.abc import Sequence

from rich.console import Console

from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.data_spec import LABELS
from mmdecouple.utils.files import check_writable
from mmdecouple.utils.progress import shown_stages

from . import options
from .measuring import opening

METHODS = ('linear', 'fcn', 'overcluster', 'retrieval')


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__, {'--seeds': '--repeats N'})
    options.add_networks(parser)
    options.add_data(parser, LABELS, None, required=True)
    options.add_out(parser, 'work_dirs/segment', 'NAME.json of each network')
    parser.add_argument(
        '--methods', nargs='+', choices=METHODS, default=[*METHODS], help='methods to run (default: all)'
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='few images, features computed once, short schedules; not comparable with full results',
    )
    parser.add_argument(
        '--size',
        type=positive,
        metavar='PIXELS',
        help='side to which images are resized, without keeping the aspect ratio (default: 448; scenes: unchanged)',
    )
    options.add_limit(parser, 'images per split')
    parser.add_argument(
        '--epochs',
        type=positive,
        metavar='N',
        help='epochs of head training; the learning rate drops after 80 %% of them (default: linear 25, fcn 30)',
    )
    parser.add_argument(
        '--clusters',
        nargs='+',
        type=_clusters,
        metavar='K',
        help="numbers of clusters; 'classes' is the number of classes, matched one-to-one (default: 500)",
    )
    parser.add_argument(
        '--repeats',
        type=positive,
        metavar='N',
        help='number of repetitions of a method, each with another seed (default: heads 1, over-clustering 5)',
    )
    options.add_role(parser)
    options.add_layer(parser)
    options.add_seed(parser, 'untrained networks')
    options.add_batch_size(parser, 16)
    options.add_workers(parser, 'read images')
    options.add_device(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args, console = parse_args(argv), Console()
    with program():
        check_writable(args.out / 'report.json')
        choose_device(args.device)
        from mmdecouple.evaluation.segmentation import Runtime, measure_segmentation
        from mmdecouple.evaluation.segmentation.suites import check_suited, measure_configs, open_splits
        from mmdecouple.networks.open_networks import open_networks
        from mmdecouple.registry import MEASURES
        from mmdecouple.visualization.terminal import print_segmentation

        networks = open_networks(args.networks, args.names, **opening(args))
        config = next((network.config for network in networks.values() if network.config is not None), {})
        images = open_splits(args.data, config, args.quick, args.size, args.limit)
        configs = measure_configs(args.methods, args.quick, args.epochs, args.clusters, args.repeats)
        for name, network in networks.items():
            check_writable(args.out / f'{name}.json')
            check_suited(name, network.model, images, [MEASURES.build(config) for config in configs])
        for name, network in networks.items():
            with shown_stages(console) as show:
                report = measure_segmentation(
                    network.model,
                    images['train'],
                    images['val'],
                    [MEASURES.build(config) for config in configs],
                    json=args.out / f'{name}.json',
                    config=network.config and str(network.config.filename),
                    checkpoint=network.checkpoint and str(network.checkpoint),
                    runtime=Runtime(args.batch_size, args.workers, show),
                )
            print_segmentation(name, report, console)
            console.print(f'report: {args.out / name}.json', highlight=False, soft_wrap=True, markup=False)


def _clusters(word: str) -> int | str:
    return int(word) if word.isdigit() else word
