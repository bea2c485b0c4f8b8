"""Table of transfer results, as JSON lines for programs and as Markdown for readers."""

import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_text
from mmdecouple.utils.locks import alone

# COCO's AP by object size is listed in the JSON lines only.
_BY_SIZE = ('_s', '_m', '_l')
_FACTS = (
    'checkpoint',
    'pretraining',
    'role',
    'arch',
    'seed',
    'batch',
    'precision',
    'options',
    'config',
    'sha256',
    'date',
)
# Rows with equal values of all these keys are seeds of one experiment.
_SAME = ('method', 'sha256', 'pretraining', 'role', 'arch', 'batch', 'precision', 'options', 'config')


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Returns all rows of a table; an empty list if the file does not exist.

    Args:
        path: File of JSON lines.

    Raises:
        UserError: A line is not JSON.
    """
    path, rows = Path(path), []
    if not path.is_file():
        return rows
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise UserError(f'{path}, line {number}: not JSON ({error}); correct or remove the line.') from error
    return rows


def find_row(path: str | Path, identity: str) -> dict[str, Any] | None:
    """Returns the row of a finished run; None if the table has no such row.

    Args:
        path: File of JSON lines.
        identity: Identity of the run.
    """
    return next((row for row in read_rows(path) if row['identity'] == identity), None)


def append_row(path: str | Path, row: dict[str, Any]) -> None:
    """Adds a row, unless the table has a row with the same identity, and writes the Markdown table.

    Both files are replaced atomically, and several processes may write to one table.

    Args:
        path: File of JSON lines; the Markdown file has the suffix `.md` instead.
        row: JSON-able, with `identity`, `task` and `metrics` (name -> number).

    Raises:
        UserError: Another process writes to the table, or a line of the file is not JSON.
    """
    path = Path(path)
    with alone(path.with_suffix('.lock'), busy=f'{path} is being written by another process; wait for it.'):
        rows = read_rows(path)
        if all(other['identity'] != row['identity'] for other in rows):
            rows.append(row)
        write_text(path, ''.join(json.dumps(one) + '\n' for one in rows))
        write_text(path.with_suffix('.md'), markdown(rows))


def markdown(rows: list[dict[str, Any]]) -> str:
    """Returns one Markdown table per task, with the metrics in the first columns.

    Rows that differ only in their seed are followed by a row of means and sample standard deviations (n - 1).

    Args:
        rows: Rows of the table, whose order is kept within an experiment.
    """
    text = '# Transfer results\n'
    for task in dict.fromkeys(row['task'] for row in rows):
        groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in rows:
            if row['task'] == task:
                groups.setdefault(tuple(_fact(row, name) for name in _SAME), []).append(row)
        mine = [row for group in groups.values() for row in group]
        metrics = list(dict.fromkeys(name for row in mine for name in row['metrics'] if not name.endswith(_BY_SIZE)))
        header = ['method', *metrics, *_FACTS]
        text += f'\n## {task}\n\n| {" | ".join(header)} |\n|{" --- |" * len(header)}\n'
        for group in groups.values():
            for row in group:
                numbers = [_number(row['metrics'].get(name)) for name in metrics]
                text += _line(row, numbers, [_fact(row, name) for name in _FACTS])
            if len({row.get('seed') for row in group}) > 1:
                facts = [_fact(group[0], name) if name in _SAME else '' for name in _FACTS]
                facts[_FACTS.index('seed')] = f'{len(group)} seeds'
                text += _line(group[0], [_folded(group, name) for name in metrics], facts)
    return text


def print_row(row: dict[str, Any], console: Console, folder: Path) -> None:
    """Prints the metrics of a row.

    Args:
        row: Row of the table.
        console: Console of the output.
        folder: Folder of the table.
    """
    table = Table(title=f'{row["method"]} ({row["role"]}) on {row["task"]}', title_justify='left')
    table.add_column('metric')
    table.add_column('value', justify='right')
    for name, value in row['metrics'].items():
        table.add_row(name, f'{value:.4g}')
    console.print(table)
    if not row['metrics']:
        console.print('The evaluator returned no metrics: no prediction reached its threshold.')
    console.print(f'row {row["identity"]} of {folder / "results.md"}', highlight=False, soft_wrap=True)


def _line(row: dict[str, Any], numbers: list[str], facts: list[str]) -> str:
    return f'| {" | ".join([str(row.get("method", "")), *numbers, *facts])} |\n'


def _fact(row: dict[str, Any], name: str) -> str:
    """Returns the text of a cell, with options as `KEY=VALUE` and the first digits of a digest."""
    value = row.get(name, '')
    if isinstance(value, dict):
        value = ' '.join(f'{key}={one}' for key, one in value.items())
    return str(value)[: 12 if name == 'sha256' else None].replace('|', '\\|').replace('\n', ' ')


def _folded(rows: list[dict[str, Any]], name: str) -> str:
    values = [row['metrics'][name] for row in rows if name in row['metrics']]
    if len(values) < len(rows):
        return ''
    return f'{fmean(values):.4g} ± {stdev(values):.2g}'


def _number(value: float | None) -> str:
    return '' if value is None else f'{value:.4g}'
