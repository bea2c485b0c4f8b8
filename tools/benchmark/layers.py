"""Measures the time of measuring every layer of a network (`--layer all`) against that of the last layer alone.

    python tools/benchmark/layers.py timm:vit_small_patch16_224.dino --data coco128:data/coco128 --limit 20

Both are measured in turn, in processor time of this process, and with the same draws. The pass (images and pooling) and
the scores (neighbors, regressions, bootstrap) are also timed alone.
"""

import statistics
import time
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from mmdecouple.commands import options
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.data_spec import MEASURED
from mmdecouple.utils.files import check_writable, write_json

RESULTS = 'layers.json'


class Timed(NamedTuple):
    """Processor time in seconds.

    Attributes:
        images: Time until the last image was shown, with pooling.
        scores: Time after it.
    """

    images: float
    scores: float

    @property
    def total(self) -> float:
        """Sum of both."""
        return self.images + self.scores


def parser() -> options.Parser:
    parser = options.Parser(__doc__)
    parser.add_argument('network', metavar='NETWORK', help=options.NETWORKS)
    options.add_data(parser, MEASURED, None, required=True)
    parser.add_argument('--measures', nargs='+', metavar='MEASURE', help='measures to run (default: all)')
    options.add_limit(parser, 'images, pairs, objects or windows per measure')
    parser.add_argument('--rounds', type=positive, default=3, metavar='N', help='number of repetitions (default: 3)')
    options.add_batch_size(parser, 32)
    options.add_device(parser)
    options.add_out(parser, None, RESULTS, 'the results are only printed')
    return parser


def main() -> None:
    args = parser().parse_args()
    with program():
        if args.out:
            check_writable(args.out / RESULTS)
        from mmdecouple.networks.network import open_network
        from mmdecouple.runs.launch import choose_device
        from mmdecouple.visualization.coupling import Draws

        choose_device(args.device)
        torch.set_num_threads(1)
        network = open_network(args.network)
        dataset = Draws(args.data, measures=args.measures, limit=args.limit).build({network.name: network})
        rounds = [benchmark(network.model, dataset, args.batch_size) for _ in range(args.rounds)]
        result = show(network.name, len(dataset), rounds)
        if args.out:
            write_json(args.out / RESULTS, result, indent=2)


def benchmark(model: torch.nn.Module, dataset: torch.utils.data.Dataset, batch_size: int) -> tuple[Timed, Timed]:
    """Returns the times of the last layer alone, and of every layer."""
    from mmdecouple.evaluation import measure_layers, measure_model
    from mmdecouple.models.backbones import layer_strides

    marks: list[float] = []

    def timed(measure, *layers) -> Timed:
        start = time.process_time()
        measure(model, dataset, *layers, batch_size=batch_size, progress=lambda *_: marks.append(time.process_time()))
        return Timed(marks[-1] - start, time.process_time() - marks[-1])

    return timed(measure_model), timed(measure_layers, [*layer_strides(model.measured_backbone), None])


def show(name: str, images: int, rounds: list[tuple[Timed, Timed]]) -> dict:
    """Prints the median times and their ratio, and returns them."""
    ratios = [every.total / one.total for one, every in rounds]
    table = Table('seconds of processor time', 'images', 'scores', 'total', title=f'{name}, {images} images')
    medians = {}
    for title, timed in zip(('last layer', 'every layer'), zip(*rounds)):
        medians[title] = [statistics.median(values) for values in (*zip(*timed), [one.total for one in timed])]
        table.add_row(title, *(f'{value:.1f}' for value in medians[title]))
    console = Console()
    console.print(table)
    console.print(f'ratio: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})', highlight=False)
    return dict(network=name, images=images, ratios=ratios, seconds=medians)


if __name__ == '__main__':
    main()
