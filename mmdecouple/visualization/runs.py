"""What a run folder says about itself: its config, its loss curves, its measured coupling."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config

from mmdecouple.evaluation.report import FORMAT
from mmdecouple.utils.errors import MissingFile, UserError

COUPLING_FILE = 'coupling.json'


@dataclass(frozen=True)
class Run:
    """One column of a report.

    Attributes:
        name (str): How the report calls it.
        coupling (dict): The measured JSON, format `mmdecouple-coupling/1`.
        folder (Path | None): Run folder; None for a network that was never trained.
        config (Config | None): The config it was trained with.
        checkpoint (Path | None): The weights that were measured; None means untrained.
        network (str): Its specification, as `open_network` takes it.
        scalars (dict[str, np.ndarray]): Term -> (N, 2) float64 array of iteration and value.
    """

    name: str
    coupling: dict
    folder: Path | None = None
    config: Config | None = None
    checkpoint: Path | None = None
    network: str = ''
    scalars: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        """Whether there are weights behind this column."""
        return self.checkpoint is not None

    @property
    def losses(self) -> dict[str, np.ndarray]:
        """The curves that are losses: `loss`, `loss_*` and the unweighted `decoupling`."""
        return {
            key: curve
            for key, curve in self.scalars.items()
            if key == 'loss' or key.startswith('loss_') or key == 'decoupling'
        }


def read_scalars(folder: Path) -> dict[str, np.ndarray]:
    """Read the training curves of a run, over all its resumes.

    Lines of a later start replace those of an earlier one at the same iteration, so a resumed run
    reads like an uninterrupted one. A last line cut short by a kill is left out.

    Args:
        folder (Path): Run folder with `<timestamp>/vis_data/scalars.json`, one JSON a line.

    Returns:
        dict[str, np.ndarray]: Term -> (N, 2) float64, columns iteration and value, ascending.

    Raises:
        FileNotFoundError: There are no scalars, or none of them is a loss.
    """
    points: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if 'loss' not in row:
                continue
            step = int(row.get('step', row.get('iter', 0)))
            for key, value in row.items():
                if key not in ('step', 'iter') and isinstance(value, (int, float)):
                    points.setdefault(key, {})[step] = float(value)
    if not points:
        raise MissingFile(
            f'{folder}: no loss in <timestamp>/vis_data/scalars.json; did this run train, '
            'and was LocalVisBackend among its vis_backends?'
        )
    return {key: np.array(sorted(curve.items()), dtype=np.float64) for key, curve in points.items()}


def read_coupling(path: Path) -> dict:
    """Read a measured JSON and make sure it is one.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not JSON of format `mmdecouple-coupling/1`.
    """
    if not path.is_file():
        raise MissingFile(f'{path}: not there; make it with tools/analysis_tools/coupling.py.')
    try:
        coupling = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f'{path}: not valid JSON ({error}); measure this run again.') from error
    found = coupling.get('format') if isinstance(coupling, dict) else None
    if found != FORMAT:
        raise UserError(f'{path}: format is {found!r}, expected {FORMAT!r}; measure this run again.')
    if not coupling.get('metrics'):
        raise UserError(f'{path}: holds no metrics; measure this run again.')
    return coupling


def cached_coupling(path: Path, **facts: object) -> dict | None:
    """The measured JSON of a file, if there is one and it is of these facts; None if there is something to measure.

    Args:
        path (Path): Where it would be.
        facts: Entries of the JSON and what they must be.

    Raises:
        UserError: See `read_coupling`.
    """
    if not path.is_file():
        return None
    found = read_coupling(path)
    return found if all(found.get(key) == value for key, value in facts.items()) else None


def check_same_draws(runs: list[Run]) -> None:
    """Refuse to put runs side by side that were measured on different draws.

    Raises:
        ValueError: Two runs have different manifests, or two runs have the same name.
    """
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'Two runs are called {name!r}; tell them apart with --names.')
    first = runs[0]
    for run in runs[1:]:
        here, there = (item.coupling.get('manifest_sha256') for item in (first, run))
        if here != there:
            raise UserError(
                f'{first.name} and {run.name} were measured on different draws: manifest '
                f'{str(here)[:12]} ({first.coupling.get("dataset")}) against {str(there)[:12]} '
                f'({run.coupling.get("dataset")}); measure them alike with --remeasure, and if their '
                'configs measure on different data, with --dataset.'
            )
