"""Plan of a table: its distinct runs, in the order of their dependencies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdecouple.configuration import check_config
from mmdecouple.engine.own_hooks import OWN
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError

from .pieces import Piece, pieces_of
from .resolve import check_scale, resolve
from .table import Row, Table

_TRAINING = (
    'model',
    'train_dataloader',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
    'custom_hooks',
    'load_from',
    'compile',
    'auto_scale_lr',
)


@dataclass(frozen=True)
class PlannedRun:
    """One row in one setting from one seed.

    Attributes:
        row: Row of the table.
        setting: Setting of the table.
        seed: Seed of the run.
        config: Resolved config with the seed and, at the keys of `row.after`, the weights of other runs.
        key: SHA-256 of everything that determines the result of the training; equal runs have equal keys.
        folder: Run folder, named by the key, so that tables share runs.
        needs: Keys of the runs whose checkpoints it loads.
        pieces: What is measured.
    """

    row: Row
    setting: str
    seed: int
    config: Config
    key: str
    folder: Path
    needs: tuple[str, ...]
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """Display name: row, setting and seed."""
        return ', '.join(part for part in (self.row.label, self.setting, f'seed {self.seed}') if part)

    @property
    def weights(self) -> Path:
        """Path of the weights after the run has finished."""
        return self.folder / 'final.pth'


def plan_runs(
    table: Table,
    scale: str,
    out: Path,
    *,
    seeds: Sequence[int] | None = None,
    rows: Sequence[str] = (),
    settings: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> list[PlannedRun]:
    """Returns the runs of a table, ordered by seed, setting and row, with dependencies first.

    Args:
        table: The table.
        scale: `full` or `demo`.
        out: Folder of all runs.
        seeds: Seeds; None for those of the table.
        rows: Patterns of `group/row`, of groups or of rows; empty for all. Their dependencies are included.
        settings: Settings of the table; empty for all.
        options: Additional overrides for every run.

    Raises:
        UserError: The scale, a pattern, a setting or an override fits nothing.
    """
    check_scale(table, scale)
    chosen = [row for row in table.rows if scale in row.bases and (not rows or _matches(row, rows))]
    for pattern in rows:
        if not any(_matches(row, [pattern]) for row in table.rows if scale in row.bases):
            labels = ', '.join(row.label for row in table.rows if scale in row.bases)
            raise UserError(f'--rows: {pattern} matches no row of {table.name}; choose from {labels}.')
    for setting in settings:
        if setting not in table.settings:
            known = ', '.join(filter(None, table.settings)) or 'none'
            raise UserError(f'--settings: {table.name} has no {setting}; choose from {known}.')
    if settings and not any(set(settings) & set(row.settings) for row in chosen):
        raise UserError(
            f'--rows, --settings: no row of {", ".join(rows)} runs in {", ".join(settings)}; choose other settings.'
        )
    runs: dict[tuple[str, str, int], PlannedRun] = {}

    def add(row: Row, setting: str, seed: int) -> PlannedRun:
        place = (row.label, setting, seed)
        if place not in runs:
            before = {path: add(table.row(label), setting, seed) for label, path in row.after.items()}
            runs[place] = _run(row, setting, seed, scale, out, before, options or {}, table.measured)
        return runs[place]

    for seed in seeds or table.seeds:
        for setting in table.settings:
            for row in chosen:
                if setting in row.settings and (not settings or setting in settings):
                    add(row, setting, seed)
    return list(runs.values())


def check_batch(runs: Sequence[PlannedRun], processes: int) -> None:
    """Checks that the total batch size of every run matches its learning rate.

    A config without the key auto_scale_lr.base_batch_size is meant for a single process.

    Args:
        runs: Runs of a plan.
        processes: Number of processes of each training.

    Raises:
        UserError: A run would train with another total batch size.
    """
    for run in runs:
        batch = run.config.train_dataloader.batch_size
        wanted = run.config.get('auto_scale_lr', {}).get('base_batch_size', batch)
        if wanted != batch * processes and not run.row.untrained:
            raise UserError(
                f'{run.row.label}: {processes} x {batch} images per step, but its learning rate is for '
                f'{wanted}; set --gpus, or --cfg-options train_dataloader.batch_size=N.'
            )


def _matches(row: Row, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in (row.label, row.group, row.name))


def _run(
    row: Row,
    setting: str,
    seed: int,
    scale: str,
    out: Path,
    before: dict[str, PlannedRun],
    options: Mapping[str, Any],
    measured: Mapping[str, Any],
) -> PlannedRun:
    config = resolve(row, setting, scale, options)
    if options:
        check_config(config, options)
    config.merge_from_dict({'randomness.seed': seed})
    # The key depends on the runs whose weights are loaded, not on their paths.
    config.merge_from_dict({path: run.key for path, run in before.items()})
    facts = {name: config.get(name) for name in _TRAINING}
    # The hooks that every run has are part of the training.
    facts['custom_hooks'] = [*(dict(type=kind.__name__) for kind in OWN), *(facts['custom_hooks'] or [])]
    facts |= {name: True for name in ('device_photometric', 'device_views') if config.get(name, False)}
    key = digest_of([facts, seed, row.untrained])
    config.merge_from_dict({path: str(run.weights) for path, run in before.items()})
    folder = out / 'runs' / f'{Path(row.bases[scale]).stem}{"-untrained" if row.untrained else ""}-{key[:12]}'
    needs, pieces = tuple(run.key for run in before.values()), tuple(pieces_of(config, measured))
    return PlannedRun(row, setting, seed, config, key, folder, needs, pieces)
