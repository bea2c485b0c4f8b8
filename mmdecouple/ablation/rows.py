"""Rows of a table: one raw row per run, and means and paired differences over seeds with intervals."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from mmdecouple.evaluation.report_values import Difference
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text

from .finalize import figures_folder, read_note
from .image_differences import add_image_differences, read_report
from .plan import PlannedRun
from .table import Table

_IDENTITY = {'group', 'row', 'setting', 'seed', 'config_sha256', 'checkpoint_sha256', 'manifests', 'metrics'}


class Summary(NamedTuple):
    """Summary of a metric over seeds.

    Args:
        mean: Mean over seeds.
        half: Half the width of the 95 % t-interval; None for a single seed.
        count: Number of seeds.
        same: Number of seeds whose value has the sign of the mean.
    """

    mean: float
    half: float | None
    count: int
    same: int


def raw_rows(table: Table, scale: str, runs: Sequence[PlannedRun]) -> list[dict[str, Any]]:
    """Returns a row for every finished run with at least one measurement.

    Args:
        table: The table.
        scale: Scale of the runs.
        runs: Runs of its plan.

    Returns:
        JSON-able dicts with `table`, `scale`, `group`, `row`, `setting`, `seed`, `config_sha256`, `base`, `folder`, the
        entries of the run's note, `pieces` (names of the measured pieces), `manifests` (first metric of a measure ->
        SHA-256 of its draws), `metrics` (key -> value, low, high, count) and, in tables with `image_intervals`,
        `differences`, see `add_image_differences`.

    Raises:
        UserError: See `check_manifests`.
    """
    rows = []
    for run in runs:
        note = read_note(run)
        reports = [(piece, read_report(piece.file(figures_folder(run)))) for piece in run.pieces]
        reports = [(piece, report) for piece, report in reports if report is not None]
        if note is None or not reports:
            continue
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
                pieces=[piece.stem for piece, _ in reports],
                manifests={piece.key(next(iter(report['metrics']))): _manifest(report) for piece, report in reports},
                metrics={
                    piece.key(key): value for piece, report in reports for key, value in report['metrics'].items()
                },
            )
        )
    check_manifests(rows)
    if table.image_intervals:
        add_image_differences(table, scale, rows, runs)
    return rows


def _manifest(report: dict[str, Any]) -> str:
    """Returns the digest of what was drawn; images and settings determine the draws of segmentation."""
    parts = ('train', 'val', 'size', 'classes', 'measures')
    return report.get('manifest_sha256') or digest_of([report.get(part) for part in parts])


def check_manifests(rows: Sequence[dict[str, Any]]) -> None:
    """Raises a `UserError` if rows of one group and setting were measured on different draws."""
    seen: dict[tuple, dict] = {}
    for row in rows:
        for metric, manifest in row['manifests'].items():
            first = seen.setdefault((row['group'], row['setting'], metric), dict(row, manifest=manifest))
            if first['manifest'] != manifest:
                raise UserError(
                    f'{row["group"]}: {metric} of rows {first["row"]} and {row["row"]} was measured on '
                    'different draws; use the same test_dataloader for all rows of a group.'
                )


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes the raw rows as JSON lines, atomically."""
    write_text(path, ''.join(json.dumps(row) + '\n' for row in rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the raw rows of a file; an empty list if it does not exist.

    Raises:
        UserError: A line is not a row.
    """
    rows = []
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else [], 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict) or not row.keys() >= _IDENTITY:
            raise UserError(f'{path}: line {number} is not a row of a table; restore or remove the file.')
        rows.append(row)
    return rows


def read_seeds(path: Path) -> set[int]:
    """Returns the seeds of the raw rows in a file, see `read_rows`."""
    return {row['seed'] for row in read_rows(path)}


def summarize(values: Sequence[float]) -> Summary:
    """Returns mean and 95 % t-interval, mean ± t_{0.975, n-1} s / sqrt(n), with the sample standard deviation s.

    Args:
        values: One value per seed, at least one.
    """
    values = np.asarray(values, np.float64)
    mean, count = float(values.mean()), len(values)
    half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count)) if count > 1 else None
    return Summary(mean, half, count, int((np.sign(values) == np.sign(mean)).sum()))


class Figures:
    """Raw rows, indexed for metrics over seeds.

    Args:
        rows: Result of `raw_rows`.
    """

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self._values: dict[tuple[str, str, str], dict[int, dict]] = {}
        self._differences: dict[tuple[str, str, str], dict[int, dict]] = {}
        for row in rows:
            place = row['group'], row['row'], row['setting']
            self._values.setdefault(place, {})[row['seed']] = row['metrics']
            self._differences.setdefault(place, {})[row['seed']] = row.get('differences', {})

    def per_seed(self, group: str, row: str, setting: str, key: str) -> dict[int, float]:
        """Returns a dict that maps seeds to the value of a metric, for the seeds with this metric."""
        seeds = self._values.get((group, row, setting), {})
        return {seed: metrics[key]['value'] for seed, metrics in sorted(seeds.items()) if key in metrics}

    def paired(self, group: str, row: str, minus: str | None, setting: str, key: str) -> list[float]:
        """Returns the differences of two rows for the seeds that both have; the values of `row` if `minus` is None."""
        here = self.per_seed(group, row, setting, key)
        if minus is None:
            return list(here.values())
        there = self.per_seed(group, minus, setting, key)
        return [here[seed] - there[seed] for seed in here if seed in there]

    def over_seeds(self, group: str, row: str, setting: str, key: str, minus: str | None = None) -> Summary | None:
        """Returns the summary of a metric, or of its difference between two rows; None if no seed has it."""
        values = self.paired(group, row, minus, setting, key)
        return summarize(values) if values else None

    def over_images(
        self, group: str, row: str, setting: str, key: str, minus: str | None = None
    ) -> dict[int, Difference]:
        """Returns a dict that maps seeds to a metric, or its difference to another row, with the interval over images.

        Seeds without the metric, or without a paired difference, are left out.
        """
        place = group, row, setting
        if minus is None:
            found = {seed: metrics[key] for seed, metrics in self._values.get(place, {}).items() if key in metrics}
            return {
                seed: Difference(one['value'], one.get('low'), one.get('high')) for seed, one in sorted(found.items())
            }
        differences = self._differences.get(place, {})
        found = {seed: others.get(minus, {}).get(key) for seed, others in sorted(differences.items())}
        return {seed: Difference(*one) for seed, one in found.items() if one is not None}
