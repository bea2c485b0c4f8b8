"""Rendering of the table of truth as Markdown."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from mmdecouple.ablation import Row, Table, read_table, table_names
from mmdecouple.ablation.columns import measured_columns
from mmdecouple.ablation.table import SCALES
from mmdecouple.evaluation.measures.metric_spec import MetricSpec

from .own import OwnNumber, read_ablation_rows, read_own_numbers
from .published import ROOT, Entry, read_entries

OUT = ROOT / 'docs' / 'table_of_truth.md'
NOT_RUN = 'not run here'
HEAD = """# Table of truth

Every config of a method, every test that a number was published for, and the number measured with this package. Written
by `python tools/misc/table_of_truth.py`; the test suite fails when it is out of date, or when a header, a README or an
ablation table quotes another number than the metafiles.

Ours are the files in `docs/results/`, as the tools wrote them: `results.jsonl` of `tools/transfer.py`, the JSON of
`mmdecouple coupling` and `mmdecouple segment`, `rows.jsonl` of `tools/ablate.py`. Several runs of a config are
averaged. Smoke runs and runs on other data do not appear.
"""
ABLATIONS = """
## Ablations

`ours` are runs of the full scale. `demo scale` are small networks on built-in scenes or small photographs: only their
order within a table says something, never their distance to the published column.
"""


def main_table(entries: Sequence[Entry], own: Sequence[OwnNumber]) -> str:
    """Returns the Markdown table with one row per config and test."""
    rows = []
    for entry in entries:
        head = [entry.collection, f'[{Path(entry.path).stem}](../{entry.path})', str(entry.epochs)]
        mine = {
            number.metric: [other for other in own if other[:2] == number[:2]]
            for number in own
            if number.config == Path(entry.path).stem
        }
        tests = {dataset: metrics for _, dataset, metrics in entry.tests}
        for dataset in dict.fromkeys([*(dataset for dataset, _ in mine), *tests]):
            published = {
                name: value for _, place, metrics in entry.tests if place == dataset for name, value in metrics.items()
            }
            names = list(dict.fromkeys([*published, *(name for place, name in mine if place == dataset)]))
            values = [mine.get((dataset, name), []) for name in names]
            sources = dict.fromkeys(number.source for numbers in values for number in numbers)
            rows.append(
                [
                    *head,
                    f'{dataset}: {" / ".join(names)}',
                    _joined(published.get(name) for name in names),
                    entry.origin.removeprefix('published ').strip('()') if published else '',
                    _joined(mean(n.value for n in numbers) if numbers else None for numbers in values)
                    if sources
                    else NOT_RUN,
                    '; '.join(sources),
                ]
            )
        if not entry.tests and not mine:
            rows.append([*head, 'nothing published', '', '', NOT_RUN, ''])
    return _markdown(['method', 'config', 'epochs', 'test', 'published', 'where', 'ours', 'source'], rows)


def ablation_table(table: Table, raw: Sequence[dict[str, Any]]) -> str:
    """Returns the Markdown section of an ablation, with one row per row and setting that has a number.

    Args:
        table: The table.
        raw: Raw rows of all tables, see `read_ablation_rows`.
    """
    rows = []
    for row in table.rows:
        for setting in row.settings:
            mine = [
                one
                for one in raw
                if (one['table'], one['group'], one['row'], one['setting'])
                == (table.name, row.group, row.name, setting)
            ]
            measured = measured_columns(table.columns)
            columns = [
                name
                for name in table.columns
                if name in row.published
                or (name in measured and any(measured[name].key in one['metrics'] for one in mine))
            ]
            if columns:
                found = [
                    _joined(_measured(mine, scale, measured.get(name)) for name in columns)
                    or (NOT_RUN if scale in row.bases else '')
                    for scale in SCALES
                ]
                rows.append(
                    [
                        f'{row.label}, {setting}' if setting else row.label,
                        _config(row),
                        ' / '.join(columns),
                        _joined(row.published.get(name) for name in columns),
                        *found,
                        '; '.join(
                            f'{name} ({count} runs)' for name, count in Counter(one['source'] for one in mine).items()
                        ),
                    ]
                )
    left = sum(len(row.settings) for row in table.rows) - len(rows)
    text = f'\n### {table.title}\n\n`{table.name}`; published: {table.source}.'
    text += f' {left} rows have no number yet.\n' if left else '\n'
    heads = ['row', 'base', 'test', 'published', 'ours', 'demo scale', 'source']
    return text + (f'\n{_markdown(heads, rows)}' if rows else '')


def document() -> tuple[str, list[str]]:
    """Returns the text of the whole file, and a line for each result that is not listed in it."""
    entries, raw, (own, left_out) = read_entries(), read_ablation_rows(), read_own_numbers()
    configs = {Path(entry.path).stem for entry in entries}
    left_out += dict.fromkeys(
        f'{number.source} is not in the table: no metafile has the config {number.config}.'
        for number in own
        if number.config not in configs
    )
    return (
        HEAD
        + '\n'
        + main_table(entries, own)
        + ABLATIONS
        + ''.join(ablation_table(read_table(name), raw) for name in table_names())
    ), left_out


def _config(row: Row) -> str:
    path = row.bases.get('full') or next(iter(row.bases.values()), '')
    return f'[{Path(path).stem}](../configs/{path})' if path else ''


def _measured(rows: Sequence[dict[str, Any]], scale: str, spec: MetricSpec | None) -> float | None:
    if spec is None:
        return None
    values = [one['metrics'][spec.key]['value'] for one in rows if one['scale'] == scale and spec.key in one['metrics']]
    return (100 if spec.percent else 1) * mean(values) if values else None


def _joined(values: Iterable[float | None]) -> str:
    texts = [('–' if value is None else f'{value:.2f}' if value < 10 else f'{value:.1f}') for value in values]
    return ' / '.join(texts) if any(text != '–' for text in texts) else ''


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ['---'] * len(heads), *rows]
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines)
