"""Measures one run, with a separate file for each piece.

`python -m mmdecouple.ablation.run_measures CONFIG PIECES WEIGHTS SEED FOLDER`
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mmengine.registry import init_default_scope

from mmdecouple.evaluation import CouplingMetric, SegmentationImages, measure_model, measure_segmentation
from mmdecouple.evaluation.segmentation import Runtime
from mmdecouple.evaluation.segmentation.suites import check_size
from mmdecouple.networks.network import Network, open_network
from mmdecouple.registry import DATASETS, MEASURES
from mmdecouple.runs.startup import program
from mmdecouple.utils.files import write_json
from mmdecouple.utils.progress import Lines

from .pieces import Piece

UNTRAINED = 'none'
_BATCH_SIZE = 64
Show = Callable[[int, int], None]


def write_pieces(path: Path, pieces: Sequence[Piece]) -> None:
    """Writes pieces for `measure_missing`."""
    write_json(path, [dataclasses.asdict(piece) for piece in pieces])


def measure_missing(config: str, pieces: Path, weights: str, seed: int, folder: Path) -> None:
    """Measures the pieces whose file is missing; each file is written when it is complete.

    Args:
        config: Config of the run.
        pieces: File of the pieces, see `write_pieces`.
        weights: Checkpoint of the run; `none` for the untrained network.
        seed: Seed of the initialization.
        folder: Folder of the values.
    """
    every = [Piece(**piece) for piece in json.loads(pieces.read_text())]
    missing = [piece for piece in every if not piece.file(folder).is_file()]
    network = open_network(config if weights == UNTRAINED else f'{config}={weights}', seed=seed)
    init_default_scope('mmdecouple')
    lines = Lines()

    def show(place: int, done: int, total: int) -> None:
        # The unit is a hundredth of a piece.
        lines('measured', 100 * place + 100 * done // total, 100 * len(missing))

    for place, piece in enumerate(missing):
        names = dict(json=piece.file(folder), config=config, checkpoint=None if weights == UNTRAINED else weights)
        (_segment if piece.segmentation else _couple)(network, piece, names, partial(show, place))


def _couple(network: Network, piece: Piece, names: dict, show: Show) -> None:
    probes = DATASETS.build({**piece.images, 'measures': [piece.measure]})
    measure_model(network.model, probes, metric=CouplingMetric(**names), batch_size=_BATCH_SIZE, progress=show)


def _segment(network: Network, piece: Piece, names: dict, show: Show) -> None:
    train, val = (SegmentationImages(split=split, **piece.images) for split in ('train', 'val'))
    check_size(network.model, val.size)
    runtime = Runtime(progress=lambda _, done, total: show(done, total))
    measure_segmentation(network.model, train, val, [MEASURES.build(piece.measure)], runtime=runtime, **names)


if __name__ == '__main__':
    with program():
        measure_missing(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
