"""Rows of a table: one raw row a run, and over the seeds means and paired differences with intervals."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text

from .finalize import figures_folder, read_note
from .plan import PlannedRun
from .run_measures import figures_files
from .table import Table


class Summary(NamedTuple):
    """A figure over seeds.

    Args:
        mean: Of the seeds.
        half: Half the width of the 95 % t-interval; None with a single seed.
        count: Seeds.
        same: How many seeds have the sign of the mean.
    """

    mean: float
    half: float | None
    count: int
    same: int


def raw_rows(table: Table, scale: str, runs: Sequence[PlannedRun]) -> list[dict[str, Any]]:
    """A row for every run that has finished and is measured at least in part.

    Args:
        table: The table.
        scale: Of the runs.
        runs: Of its plan.

    Returns:
        JSON-able: `table`, `scale`, `group`, `row`, `setting`, `seed`, `config_sha256`, `base`, `folder`, what the
        run's note says, `manifests` (first metric of a measure -> SHA-256 of its draws) and `metrics` (name -> value,
        low, high, count).
    """
    rows = []
    for run in runs:
        note = read_note(run)
        files = [path for path in figures_files(run.probe, figures_folder(run)) if path.is_file()]
        if note is None or not files:
            continue
        reports = [json.loads(path.read_text()) for path in files]
        rows.append(
            dict(
                table=table.name,
                scale=scale,
                group=run.row.group,
                row=run.row.name,
                setting=run.setting,
                seed=run.seed,
                config_sha256=run.key,
                base=run.row.bases[scale],
                folder=run.folder.name,
                iterations=note['iterations'],
                images=note['images'],
                checkpoint_sha256=note['checkpoint_sha256'],
                version=note['version'],
                manifests={next(iter(report['metrics'])): report['manifest_sha256'] for report in reports},
                metrics={key: value for report in reports for key, value in report['metrics'].items()},
            )
        )
    check_manifests(rows)
    return rows


def check_manifests(rows: Sequence[dict[str, Any]]) -> None:
    """Raises ValueError if rows of one group and setting were measured on different draws."""
    seen: dict[tuple, dict] = {}
    for row in rows:
        for metric, manifest in row['manifests'].items():
            first = seen.setdefault((row['group'], row['setting'], metric), dict(row, manifest=manifest))
            if first['manifest'] != manifest:
                raise UserError(
                    f'{row["group"]}: {metric} of rows {first["row"]} and {row["row"]} stands for '
                    'different draws; give all rows of a group the same test_dataloader.'
                )


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes the raw rows as JSON lines: the whole file or nothing, so that a kill leaves the one before."""
    write_text(path, ''.join(json.dumps(row) + '\n' for row in rows))


def read_seeds(path: Path) -> set[int]:
    """Seeds of the raw rows in a file; none if there is no file."""
    return {json.loads(line)['seed'] for line in path.read_text().splitlines()} if path.is_file() else set()


def summarize(values: Sequence[float]) -> Summary:
    """Mean and 95 % t-interval: mean +- t_{0.975, n-1} s / sqrt(n), s the standard deviation with n - 1.

    Args:
        values: One a seed, at least one.
    """
    values = np.asarray(values, np.float64)
    mean, count = float(values.mean()), len(values)
    half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count)) if count > 1 else None
    return Summary(mean, half, count, int((np.sign(values) == np.sign(mean)).sum()))


class Figures:
    """The raw rows, to be asked for a metric over seeds."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self._values: dict[tuple[str, str, str], dict[int, dict]] = {}
        for row in rows:
            self._values.setdefault((row['group'], row['row'], row['setting']), {})[row['seed']] = row['metrics']

    def per_seed(self, group: str, row: str, setting: str, key: str) -> dict[int, float]:
        """Seed -> value of a metric, for the seeds that have it."""
        seeds = self._values.get((group, row, setting), {})
        return {seed: metrics[key]['value'] for seed, metrics in sorted(seeds.items()) if key in metrics}

    def paired(self, group: str, row: str, minus: str | None, setting: str, key: str) -> list[float]:
        """Row minus another of the same seed, for the seeds that have both; the row itself if `minus` is None."""
        here = self.per_seed(group, row, setting, key)
        if minus is None:
            return list(here.values())
        there = self.per_seed(group, minus, setting, key)
        return [here[seed] - there[seed] for seed in here if seed in there]

    def over_seeds(self, group: str, row: str, setting: str, key: str, minus: str | None = None) -> Summary | None:
        """The metric, or its difference to another row's, over seeds; None if no seed has it."""
        values = self.paired(group, row, minus, setting, key)
        return summarize(values) if values else None
