"""Runs as columns of a report: config, loss curves and measured coupling of a run folder."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config

from mmdecouple.evaluation.report_values import FORMAT
from mmdecouple.utils.errors import MissingFile, UserError

COUPLING_FILE = 'coupling.json'


@dataclass(frozen=True)
class Run:
    """One column of a report.

    Attributes:
        name: Name in the report.
        coupling: Measured JSON, format `mmdecouple-coupling/1`.
        folder: Run folder; None for an untrained network.
        config: Config with which it was trained.
        checkpoint: Measured weights; None for an untrained network.
        network: Specification of the network, see `open_network`.
        scalars: Term -> float64 `(N, 2)`, iteration and value.
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
        """Whether this column has trained weights."""
        return self.checkpoint is not None

    @property
    def losses(self) -> dict[str, np.ndarray]:
        """Curves of losses: `loss`, `loss_*` and the unweighted `decoupling`."""
        return {
            key: curve
            for key, curve in self.scalars.items()
            if key == 'loss' or key.startswith('loss_') or key == 'decoupling'
        }


def read_scalars(folder: Path) -> dict[str, np.ndarray]:
    """Reads the training curves of a run, including all resumes.

    Lines of a later start replace those of an earlier start at the same iteration, so that a resumed run gives the
    curves of an uninterrupted one. A last line that is truncated by a kill is ignored.

    Args:
        folder: Run folder with `<timestamp>/vis_data/scalars.json`, one JSON object per line.

    Returns:
        Term -> float64 `(N, 2)`, iteration and value, with ascending iterations.

    Raises:
        MissingFile: There are no scalars, or none of them is a loss.
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
            f'{folder}: no loss in <timestamp>/vis_data/scalars.json; check that the run has trained, '
            'and that LocalVisBackend is among its vis_backends.'
        )
    return {key: np.array(sorted(curve.items()), dtype=np.float64) for key, curve in points.items()}


def read_coupling(path: Path) -> dict:
    """Reads and checks a measured JSON.

    Raises:
        MissingFile: The file does not exist.
        UserError: The file is not JSON of format `mmdecouple-coupling/1`, or holds no metrics.
    """
    if not path.is_file():
        raise MissingFile(f'{path} does not exist; create it with `mmdecouple coupling`.')
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
    """Returns the measured JSON of a file if it was measured with the given facts.

    Args:
        path: File, which may be missing.
        facts: Expected entries of the JSON.

    Returns:
        The JSON; None if the file is missing or an entry differs.

    Raises:
        UserError: See `read_coupling`.
    """
    if not path.is_file():
        return None
    found = read_coupling(path)
    return found if all(found.get(key) == value for key, value in facts.items()) else None


def check_same_draws(runs: list[Run]) -> None:
    """Checks that runs have different names and were measured on the same draws.

    Raises:
        UserError: Two runs have different manifests or the same name.
    """
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'Two runs are called {name!r}; give them different --names.')
    first = runs[0]
    for run in runs[1:]:
        here, there = (item.coupling.get('manifest_sha256') for item in (first, run))
        if here != there:
            raise UserError(
                f'{first.name} and {run.name} were measured on different draws: manifest '
                f'{str(here)[:12]} ({first.coupling.get("dataset")}) against {str(there)[:12]} '
                f'({run.coupling.get("dataset")}); measure them together, on the same --data.'
            )
