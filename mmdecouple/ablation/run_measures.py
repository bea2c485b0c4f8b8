"""Measures one run, with a separate file for each measure.

`python -m mmdecouple.ablation.run_measures CONFIG WEIGHTS SEED FOLDER`
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.registry import init_default_scope

from mmdecouple.evaluation import CouplingMetric, measure_model
from mmdecouple.evaluation.probes.suites import configured_probe
from mmdecouple.networks.network import open_network
from mmdecouple.registry import DATASETS
from mmdecouple.runs.startup import program
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.progress import Lines

from .plan import figures_stem

UNTRAINED = 'none'


def figures_files(probe: dict, folder: Path) -> dict[Path, dict[str, Any]]:
    """Returns a dict that maps the file of each measure to the config of a `ProbeDataset` with this measure only.

    Args:
        probe: Config of a `ProbeDataset` with several measures.
        folder: Folder of the files.
    """
    return {
        folder / f'{figures_stem(probe, measure)}.json': {**probe, 'measures': [measure]}
        for measure in probe['measures']
    }


def measure_missing(config: str, weights: str, seed: int, folder: Path) -> None:
    """Computes the measures of the config's probes whose file is missing; each file is written when it is complete.

    Args:
        config: Config of the run.
        weights: Checkpoint of the run; `none` for the untrained network.
        seed: Seed of the initialization.
        folder: Folder of the files.
    """
    probe = configured_probe(load_config(config))
    missing = {path: one for path, one in figures_files(probe, folder).items() if not path.is_file()}
    network = open_network(config if weights == UNTRAINED else f'{config}={weights}', seed=seed)
    init_default_scope('mmdecouple')
    lines = Lines()

    def show(place: int, done: int, images: int) -> None:
        # The unit is a hundredth of a measure.
        lines('measured', 100 * place + 100 * done // images, 100 * len(missing))

    for place, (path, one) in enumerate(missing.items()):
        metric = CouplingMetric(json=path, config=config, checkpoint=None if weights == UNTRAINED else weights)
        measure_model(network.model, DATASETS.build(one), metric=metric, batch_size=64, progress=partial(show, place))


if __name__ == '__main__':
    with program():
        measure_missing(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
