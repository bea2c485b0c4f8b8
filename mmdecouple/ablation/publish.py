"""Published rows: those of this machine together with those that were published before, from other machines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdecouple.utils.errors import UserError

from .plan import PlannedRun
from .rows import check_manifests, read_rows

_Place = tuple[str, str, str, int]
_Rows = dict[_Place, dict[str, Any]]


def with_published(rows: Sequence[dict[str, Any]], path: Path, runs: Sequence[PlannedRun]) -> list[dict[str, Any]]:
    """Returns raw rows together with those of a file whose runs are on other machines.

    A row of the file is replaced when this machine has all of its metrics. A difference over images is kept as long as
    both of its rows are those that were compared.

    Args:
        rows: Rows of this machine, see `raw_rows`.
        path: `rows.jsonl` of earlier publications; it need not exist.
        runs: All runs of the table, in its order.

    Raises:
        UserError: The file is damaged, or has repeated rows, or rows of other configs, measures or draws.
    """
    published = read_rows(path)
    here, there = _by_place(rows), _by_place(published)
    if len(there) < len(published):
        raise UserError(f'{path}: {len(published) - len(there)} rows occur more than once; remove the repeated lines.')
    planned = {(run.row.group, run.row.name, run.setting, run.seed): run for run in runs}
    other = [place for place in there if not _fits(there[place], planned.get(place))]
    if other:
        group, name, setting, seed = other[0]
        row = ', '.join(filter(None, (f'{group}/{name}', setting, f'seed {seed}')))
        raise UserError(
            f'{path}: {len(other)} of {len(there)} rows have another config or other measures than the table, or are '
            f'of an earlier version; the first is {row}. Remove these lines, or publish to another folder.'
        )
    merged = {}
    for place in planned:
        former, own = there.get(place), here.get(place)
        if own is None or (former is not None and not set(former['metrics']) <= set(own['metrics'])):
            own = former
        if own is not None:
            merged[place] = own
    for place, row in merged.items():
        kept = {}
        for source in (there, here):
            kept |= _differences(place, source, merged)
        if 'differences' in row:
            merged[place] = {**row, 'differences': kept}
    result = list(merged.values())
    check_manifests(result)
    return result


def _by_place(rows: Sequence[dict[str, Any]]) -> _Rows:
    return {(row['group'], row['row'], row['setting'], row['seed']): row for row in rows}


def _fits(row: dict[str, Any], run: PlannedRun | None) -> bool:
    """Returns whether a row has the config and only measures of a planned run."""
    if run is None or row['config_sha256'] != run.key:
        return False
    return 'pieces' in row and set(row['pieces']) <= {piece.stem for piece in run.pieces}


def _differences(place: _Place, source: _Rows, merged: _Rows) -> dict[str, Any]:
    """Returns the differences of a row of one source whose two rows have the merged weights."""

    def same(one: _Place) -> bool:
        return one in source and source[one]['checkpoint_sha256'] == merged[one]['checkpoint_sha256']

    if not same(place):
        return {}
    found = source[place].get('differences', {}).items()
    places = {other: (place[0], other, *place[2:]) for other, _ in found}
    return {other: values for other, values in found if places[other] in merged and same(places[other])}
