"""Evaluates segmentation with frozen features of a checkpoint or untrained network, and prints a table of mIoU."""

import argparse

from mmengine.registry import init_default_scope
from rich.console import Console

from mmdecouple.evaluation.segmentation import Runtime, measure_segmentation
from mmdecouple.evaluation.segmentation.suites import METHODS, check_size, measure_configs, open_splits
from mmdecouple.networks.network import TRUST, open_network
from mmdecouple.registry import MEASURES
from mmdecouple.runs.launch import choose_device, require_keys
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, seed, whole
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.files import check_writable
from mmdecouple.utils.progress import shown_stages
from mmdecouple.visualization.terminal import segmentation_report_table

UNTRAINED = 'none'


def clusters(word: str) -> int | str:
    """A number of clusters, or the word for that of the classes."""
    return int(word) if word.isdigit() else word


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or mmdecouple::folder/file.py')
    parser.add_argument('checkpoint', help=f'weight file, or {UNTRAINED} for the untrained network')
    parser.add_argument(
        '--data', required=True, help='voc:PATH, coco-stuff:PATH, coco128:PATH, scenes:PATH (an export) or scenes'
    )
    parser.add_argument(
        '--methods', nargs='+', choices=list(METHODS), default=list(METHODS), help='methods to run (default: all)'
    )
    parser.add_argument('--json', help='file for the report')
    parser.add_argument(
        '--quick',
        action='store_true',
        help='few images, features computed once, short schedules; not comparable with full results',
    )
    parser.add_argument(
        '--size',
        type=positive,
        help='side in pixels to which images are resized, without keeping the aspect ratio (default: '
        '448; scenes: unchanged)',
    )
    parser.add_argument('--limit', type=positive, help='maximum number of images per split')
    parser.add_argument(
        '--epochs',
        type=positive,
        help='epochs of head training (default: linear 25, fcn 30); the learning rate drops after 80 %% of them',
    )
    parser.add_argument(
        '--clusters',
        nargs='+',
        type=clusters,
        metavar='K',
        help="numbers of clusters; 'classes' is the number of classes, matched one-to-one (default: 500)",
    )
    parser.add_argument(
        '--seeds', type=positive, help='number of seeds per method (default: heads 1, over-clustering 5)'
    )
    parser.add_argument(
        '--network', choices=['teacher', 'student'], help='backbone to evaluate (default: from the config)'
    )
    parser.add_argument('--seed', type=seed, default=0, help='seed of an untrained network (default 0)')
    parser.add_argument('--batch-size', type=positive, default=16, help='images per batch when extracting features')
    parser.add_argument('--workers', type=whole, default=0, help='number of processes that read images (default 0)')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument('--allow-pickle', action='store_true', help=TRUST)
    return parser.parse_args()


def print_report(report: dict, console: Console) -> None:
    """Prints a table of all metrics, the remarks and the times."""
    console.print(segmentation_report_table(report))
    for note in report['notes']:
        console.print(f'note: {note}', highlight=False)
    console.print(
        'seconds: ' + ', '.join(f'{name} {spent:.0f}' for name, spent in report['seconds'].items()), highlight=False
    )


def main() -> None:
    args = parse_args()
    console = Console()
    with program():
        if args.json:
            check_writable(args.json)
        choose_device(args.device)
        config = load_config(args.config)
        require_keys(config, ('model',), 'segmentation')
        init_default_scope('mmdecouple')
        images = open_splits(args.data, config, args.quick, args.size, args.limit)
        configs = measure_configs(args.methods, args.quick, args.epochs, args.clusters, args.seeds)
        measures = [MEASURES.build(cfg) for cfg in configs]
        network = args.config if args.checkpoint == UNTRAINED else f'{args.config}={args.checkpoint}'
        model = open_network(network, measured=args.network, seed=args.seed, allow_pickle=args.allow_pickle).model
        check_size(model, images['val'].size)
        with shown_stages(console) as show:
            report = measure_segmentation(
                model,
                images['train'],
                images['val'],
                measures,
                json=args.json,
                config=str(args.config),
                checkpoint=None if args.checkpoint == UNTRAINED else args.checkpoint,
                runtime=Runtime(args.batch_size, args.workers, show),
            )
    print_report(report, console)
    if args.json:
        console.print(f'report: {args.json}', highlight=False, soft_wrap=True)


if __name__ == '__main__':
    main()
