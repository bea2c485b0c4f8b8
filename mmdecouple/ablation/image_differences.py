"""Differences between rows of one seed, with intervals over the images on which both were measured."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdecouple.evaluation.report_values import difference

from .columns import measured_columns
from .finalize import figures_folder
from .plan import PlannedRun
from .table import Table


def read_report(path: Path) -> dict[str, Any] | None:
    """Returns a report; None if it does not exist yet."""
    return json.loads(path.read_text()) if path.is_file() else None


def add_image_differences(table: Table, scale: str, rows: Sequence[dict[str, Any]], runs: Sequence[PlannedRun]) -> None:
    """Adds `differences` to raw rows: other row -> key of a shown column -> value, low and high.

    A difference is that of the same seed, and its 95 % interval that over images, which are resampled together; `low`
    and `high` are None without paired values. The interval covers other images, not other runs.

    Args:
        table: The table.
        scale: Scale of the rows.
        rows: Raw rows, see `raw_rows`, with equal manifests in each group and setting.
        runs: Runs of the plan.
    """
    shown = {spec.key for spec in measured_columns(table.columns).values()}
    places = {(run.row.group, run.row.name, run.setting, run.seed): run for run in runs}
    measured = {(row['group'], row['row'], row['setting'], row['seed']): row for row in rows}
    for (group, name, setting, seed), row in measured.items():
        others = [other for one, other in table.compared(group, setting, scale) if one == name]
        row['differences'] = {
            other: _differences(places[group, name, setting, seed], places[group, other, setting, seed], shown)
            for other in others
            if (group, other, setting, seed) in measured
        }


def _differences(run: PlannedRun, other: PlannedRun, shown: set[str]) -> dict[str, tuple]:
    found = {}
    for piece in run.pieces:
        here, there = (read_report(piece.file(figures_folder(one))) for one in (run, other))
        if here is not None and there is not None:
            changes = {key: difference(here, there, key) for key in here['metrics'] if piece.key(key) in shown}
            found.update({piece.key(key): tuple(change) for key, change in changes.items() if change is not None})
    return found
