"""Measures the coupling of a checkpoint, or of the untrained network, and prints a table."""
import argparse
import sys
import time
from pathlib import Path
from typing import Callable

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mmdecouple.utils.checkpoint import read_checkpoint
from mmdecouple.engine.weights import load_weights
from mmdecouple.evaluation import CouplingMetric, measure_model
from mmdecouple.evaluation.suites import LIMITS, probe_config
from mmdecouple.registry import DATASETS, MODELS
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import one_line_errors
from mmdecouple.utils.launch import choose_device

UNTRAINED = 'none'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or mmdecouple::folder/file.py')
    parser.add_argument(
        'checkpoint', help=f'file of weights; {UNTRAINED} measures the untrained network')
    parser.add_argument(
        '--dataset',
        help=
        'coco:ROOT, coco:ROOT:TRAIN:VAL, coco (data/coco) or scenes; default: what the config names'
    )
    parser.add_argument(
        '--size', type=int, help='side in pixels to which images are squashed (COCO: 224)')
    parser.add_argument(
        '--cell', type=int, help='side in pixels of a patch cell (COCO: 16, scenes: 8)')
    parser.add_argument('--manifest', help='JSON of the draws: read if it exists, else written')
    parser.add_argument(
        '--measures', nargs='+', metavar='MEASURE', help=f'of {", ".join(LIMITS)}; default: all')
    parser.add_argument(
        '--limit', type=int, help='most images, pairs or objects a measure draws, for a quick look')
    parser.add_argument(
        '--seed', type=int, default=0, help='of the draws and of an untrained network (default 0)')
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument(
        '--workers', type=int, default=0, help='processes that render images (default 0)')
    parser.add_argument('--json', help='file of the report')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='trust a checkpoint that holds more than weights')
    return parser.parse_args()


def build_model(config: Config, checkpoint: str, seed: int, allow_pickle: bool) -> torch.nn.Module:
    """The config's model with the weights of `checkpoint`, or freshly initialized from `seed`."""
    set_random_seed(seed)
    logger = MMLogger.get_instance('measure_coupling', log_level='WARNING')
    model = MODELS.build(config.model)
    if checkpoint == UNTRAINED:
        # mmengine logs every single weight that it initializes.
        logger.setLevel('ERROR')
        model.init_weights()
    else:
        load_weights(model, read_checkpoint(checkpoint, allow_pickle=allow_pickle), checkpoint)
    return model.eval()


def print_report(report: dict, console: Console) -> None:
    """Table of all numbers with their intervals, then the remarks on the draws."""
    table = Table(title=f'{report["checkpoint"] or "untrained"} on {report["dataset"]}')
    for column in ('metric', 'value', '95 % interval', 'count'):
        table.add_column(column, justify='left' if column == 'metric' else 'right')
    for name, entry in report['metrics'].items():
        table.add_row(name, f'{entry["value"]:.4f}', f'{entry["low"]:.4f} .. {entry["high"]:.4f}',
                      str(entry['count']))
    console.print(table)
    for note in report['notes']:
        console.print(f'note: {note}', highlight=False)


def plain_progress(every: float = 2.0) -> Callable[[int, int], None]:
    """Progress as lines `probes 320/1000`, for logs and for programs that read them."""
    last = [float('-inf')]

    def show(done: int, total: int) -> None:
        if done == total or time.monotonic() - last[0] >= every:
            last[0] = time.monotonic()
            print(f'probes {done}/{total}', flush=True)

    return show


def main() -> None:
    args = parse_args()
    console = Console()
    with one_line_errors():
        choose_device(args.device)
        config = load_config(args.config)
        init_default_scope('mmdecouple')
        dataset = DATASETS.build(
            probe_config(
                args.dataset,
                config,
                size=args.size,
                cell=args.cell,
                seed=args.seed,
                manifest=args.manifest,
                measures=args.measures,
                limit=args.limit))
        model = build_model(config, args.checkpoint, args.seed, args.allow_pickle)
        model.to('cuda' if torch.cuda.is_available() else 'cpu')
        metric = CouplingMetric(
            json=args.json,
            config=str(args.config),
            checkpoint=None if args.checkpoint == UNTRAINED else args.checkpoint)
        settings = dict(metric=metric, batch_size=args.batch_size, num_workers=args.workers)
        if sys.stdout.isatty():
            columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                       TimeRemainingColumn())
            with Progress(*columns, console=console) as bar:
                task = bar.add_task('probes', total=None)
                report = measure_model(
                    model,
                    dataset,
                    progress=lambda done, total: bar.update(task, completed=done, total=total),
                    **settings)
        else:
            report = measure_model(model, dataset, progress=plain_progress(), **settings)
    print_report(report, console)
    if args.json:
        console.print(f'report: {Path(args.json)}', highlight=False, soft_wrap=True)


if __name__ == '__main__':
    main()
