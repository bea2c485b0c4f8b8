"""Tables of docs/atlas.md, written from the results."""

import re
from collections.abc import Sequence
from typing import Any

from mmdecouple.evaluation.measures.catalog import find_spec
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.segmentation.catalog import segmentation_specs
from mmdecouple.utils.errors import UserError

from .measurement import LAST
from .results import COUPLING, SEGMENTS

BEGIN, END = '<!-- atlas {name}: written by tools/analysis_tools/atlas.py -->\n', '<!-- end of atlas {name} -->\n'


def with_tables(page: str, results: dict[str, Any]) -> str:
    """Returns a page in which every marked table is replaced by that of the results.

    Args:
        page: Markdown with the marks `BEGIN` and `END` around each table.
        results: See `read_results`.

    Raises:
        UserError: A mark is missing.
    """
    for name, table in tables(results).items():
        begin, end = (mark.format(name=name) for mark in (BEGIN, END))
        if page.count(begin) != 1 or page.count(end) != 1:
            raise UserError(f'The page has no place for the table {name} (two lines: {begin.strip()} {end.strip()}).')
        page = re.sub(
            f'{re.escape(begin)}.*{re.escape(end)}',
            lambda _, begin=begin, table=table, end=end: f'{begin}{table}{end}',
            page,
            flags=re.DOTALL,
        )
    return page


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Returns the tables by name: for each data `NAME-last`, `NAME-change`, `NAME-layers` and `NAME-segments`."""
    found = {}
    for data, networks in results['coupling'].items():
        found[f'{data}-last'] = _last(networks)
        found[f'{data}-change'] = _changes(networks)
        found[f'{data}-layers'] = _layers(networks, results['networks'])
    found.update({f'{data}-segments': _segments(networks) for data, networks in results['segments'].items()})
    return found


def _last(networks: dict[str, Any]) -> str:
    specs = _specs(networks)
    rows = [[name, *(_cell(spec, layers[LAST].get(spec.key)) for spec in specs)] for name, layers in networks.items()]
    counts = [
        next(layers[LAST][s.key]['count'] for layers in networks.values() if s.key in layers[LAST]) for s in specs
    ]
    return _table(['network', *(spec.title for spec in specs)], [*rows, ['items', *map(str, counts)]])


def _changes(networks: dict[str, Any]) -> str:
    specs = _specs(networks)
    rows = [
        [name, *(_change(spec, layers[LAST].get(spec.key, {}).get('difference')) for spec in specs)]
        for name, layers in networks.items()
        if any('difference' in entry for entry in layers[LAST].values())
    ]
    return _table(['network minus its untrained twin', *(spec.title for spec in specs)], rows)


def _layers(networks: dict[str, Any], described: dict[str, Any]) -> str:
    """Returns a table with a row for each layer of each network, beside its untrained twin at the same layer."""
    specs = _specs(networks)
    rows = []
    for name, layers in networks.items():
        twin = networks.get(described[name]['twin'])
        for layer, entries in layers.items() if twin and len(layers) > 1 else ():
            cells = [_beside(spec, entries.get(spec.key), twin.get(layer, {}).get(spec.key)) for spec in specs]
            rows.append([name, layer, *cells])
    return _table(['network', 'layer', *(f'{spec.title} (untrained)' for spec in specs)], rows)


def _segments(networks: dict[str, Any]) -> str:
    known = segmentation_specs()
    specs = [known[key] for key in SEGMENTS]
    rows = [[name, *(_cell(spec, entry['metrics'][spec.key]) for spec in specs)] for name, entry in networks.items()]
    return _table(['network', *(spec.title for spec in specs)], rows)


def _specs(networks: dict[str, Any]) -> list[MetricSpec]:
    return [find_spec(key) for key in COUPLING if any(key in layers[LAST] for layers in networks.values())]


def _cell(spec: MetricSpec, entry: dict[str, Any] | None) -> str:
    if entry is None:
        return '–'
    ends = '' if entry['low'] is None else f' [{spec.show(entry["low"])}, {spec.show(entry["high"])}]'
    return f'{spec.show(entry["value"])}{ends}'


def _change(spec: MetricSpec, change: Sequence[float | None] | None) -> str:
    if change is None:
        return '–'
    value, low, high = change
    if low is None or high is None:
        return spec.show(value, True)
    text = f'{spec.show(value, True)} [{spec.show(low, True)}, {spec.show(high, True)}]'
    return f'**{text}**' if low > 0 or high < 0 else text


def _beside(spec: MetricSpec, entry: dict[str, Any] | None, twin: dict[str, Any] | None) -> str:
    if entry is None:
        return '–'
    return f'{spec.show(entry["value"])} ({spec.show(twin["value"]) if twin else "–"})'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)
