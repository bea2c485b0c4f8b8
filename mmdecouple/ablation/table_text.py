"""Ablation tables as Markdown and for the terminal: measured beside published values, and differences between rows."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table as RichTable

from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.report_values import Difference

from .columns import columns, measured_columns
from .rows import Figures, Summary
from .table import Row, Table


class Block(NamedTuple):
    """One printed table.

    Args:
        title: Heading.
        header: Names of the columns.
        lines: Rows, with one cell per column.
    """

    title: str
    header: list[str]
    lines: list[list[str]]


def blocks(table: Table, rows: Sequence[dict[str, Any]], scale: str) -> Iterator[Block]:
    """Yields for each group and setting a block of values and one or two blocks of differences between rows.

    Args:
        table: The table.
        rows: Raw rows of the table.
        scale: Scale of the rows.
    """
    figures = Figures(rows)
    for setting in table.settings:
        for group in table.groups:
            of_group = table.rows_of(group, setting, scale)
            if not of_group:
                continue
            title = ', '.join(part for part in (group, setting) if part)
            yield _values(table, of_group, setting, title, figures)
            if pairs := table.compared(group, setting, scale):
                yield _differences(table, group, pairs, setting, title, figures)
                if table.image_intervals:
                    yield _image_differences(table, group, pairs, setting, title, figures)


def _values(table: Table, rows: Sequence[Row], setting: str, title: str, figures: Figures) -> Block:
    header, lines = ['row', 'seeds'], [[row.name, ''] for row in rows]
    known = columns(table.measured)
    for name in table.columns:
        spec = known[name]
        published = [row.published.get(name) for row in rows]
        if spec is not None:
            header.append(spec.title)
            for line, row in zip(lines, rows):
                found = figures.over_seeds(row.group, row.name, setting, spec.key)
                line.append(show(found, spec))
                line[1] = str(max(found.count if found else 0, int(line[1] or 0)))
        if any(value is not None for value in published):
            header.append(f'{name}, paper')
            for line, value in zip(lines, published):
                line.append('' if value is None else f'{value}')
    return Block(title, header, lines)


def _differences(
    table: Table, group: str, pairs: Sequence[tuple[str, str]], setting: str, title: str, figures: Figures
) -> Block:
    specs = measured_columns(table.columns)
    lines = [
        [
            f'{row} minus {other}',
            *(
                show_difference(figures.over_seeds(group, row, setting, spec.key, minus=other), spec)
                for spec in specs.values()
            ),
        ]
        for row, other in pairs
    ]
    return Block(f'{title}: differences, seed by seed', ['rows', *specs], lines)


def _image_differences(
    table: Table, group: str, pairs: Sequence[tuple[str, str]], setting: str, title: str, figures: Figures
) -> Block:
    specs = measured_columns(table.columns)
    lines = []
    for row, other in pairs:
        found = [figures.over_images(group, row, setting, spec.key, minus=other) for spec in specs.values()]
        for seed in sorted({seed for of_seeds in found for seed in of_seeds}):
            cells = [show_interval(of_seeds.get(seed), spec) for of_seeds, spec in zip(found, specs.values())]
            lines.append([f'{row} minus {other}', str(seed), *cells])
    return Block(f'{title}: differences on the same images', ['rows', 'seed', *specs], lines)


def show(found: Summary | None, spec: MetricSpec) -> str:
    """Returns mean and half width of the interval as text, such as `56.2 ± 1.1`."""
    if found is None:
        return '–'
    factor, digits = (100, 1) if spec.percent else (1, 3)
    text = f'{factor * found.mean:.{digits}f}'
    return text if found.half is None else f'{text} ± {factor * found.half:.{digits}f}'


def show_difference(found: Summary | None, spec: MetricSpec) -> str:
    """Returns signed mean, half width, and the number of seeds with this sign, such as `-7.8 ± 0.5 (3/3)`."""
    if found is None:
        return '–'
    sign = '' if found.mean < 0 else '+'
    return f'{sign}{show(found, spec)} ({found.same}/{found.count})'


def show_interval(found: Difference | None, spec: MetricSpec) -> str:
    """Returns a signed difference with its 95 % interval over images, such as `-7.8 [-9.0, -6.6]`.

    It is in bold, `**`, if the interval excludes zero.
    """
    if found is None:
        return '–'
    text = spec.show(found.value, sign=True)
    if found.low is None:
        return text
    text += f' [{spec.show(found.low, sign=True)}, {spec.show(found.high, sign=True)}]'
    return f'**{text}**' if found.clear else text


def markdown(table: Table, rows: Sequence[dict[str, Any]], scale: str) -> str:
    """Returns the table as Markdown, with a legend."""
    text = f'# {table.title}\n\nScale: {scale}. Published figures: {table.source}.\n{_legend(table)}\n'
    for block in blocks(table, rows, scale):
        text += f'\n## {block.title}\n\n| {" | ".join(block.header)} |\n|{" --- |" * len(block.header)}\n'
        text += ''.join(f'| {" | ".join(line)} |\n' for line in block.lines)
    return text


def print_table(table: Table, rows: Sequence[dict[str, Any]], scale: str, console: Console) -> None:
    """Prints the table with a legend."""
    console.print(f'{table.title} (scale: {scale}; published: {table.source})', highlight=False)
    for block in blocks(table, rows, scale):
        shown = RichTable(title=block.title, title_justify='left', box=SIMPLE, padding=(0, 1, 0, 0))
        for place, name in enumerate(block.header):
            shown.add_column(name, justify='left' if place == 0 else 'right', no_wrap=place == 0)
        for line in block.lines:
            shown.add_row(*(cell.strip('*') for cell in line))
        console.print(shown)
    console.print(_legend(table), highlight=False, style='dim')


def _legend(table: Table) -> str:
    specs = measured_columns(table.columns).values()
    lower = ', '.join(spec.label for spec in specs if spec.better == 'lower')
    best = ', '.join(f'{spec.label} {spec.better}' for spec in specs if spec.better.isdecimal())
    keys = ', '.join(f'{spec.label} {spec.key}' for spec in specs)
    images = (
        'Differences on the same images are those of one seed, with the 95 % interval over images, in bold if it '
        'excludes zero: it covers other images, not other runs. '
        if table.image_intervals
        else ''
    )
    return (
        'Means over seeds with 95 % t-intervals. Differences are computed seed by seed, with the number of seeds '
        f'that have this sign. {images}Lower is less coupled: {lower or "none of these"}. Without coupling: '
        f'{best or "none of these"}. Measured metrics: {keys or "none"}.'
    )
