"""Tables of the measured values of several networks for the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmdecouple.evaluation.headlines import few_items, remarks
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.report_values import metric_interval, metric_value, shown_metrics
from mmdecouple.evaluation.segmentation.catalog import find_segmentation_spec

from .runs import Run


def short_table(runs: Sequence[Run]) -> Table:
    """Returns a table of the headline metrics of runs, with their 95 % intervals."""
    table = empty_table(f'Measured on {runs[0].coupling.get("dataset")} (95 % interval)')
    table.add_column('')
    for run in runs:
        table.add_column(run.name, justify='right')
    for spec in shown_metrics([run.coupling for run in runs], headline=True):
        table.add_row(spec.title, *('\n'.join(cell_lines(spec, run.coupling)) for run in runs))
    return table


def full_table(reports: dict[str, dict], layer: str) -> Table:
    """Returns a table of all metrics of networks, with intervals, differences to the first network, and counts.

    Args:
        reports: Name of a network -> its report; all but the first with `differences`.
        layer: Name of the measured layer, for the heading.
    """
    first = next(iter(reports.values()))
    table = empty_table(f'{first["dataset"]}, {layer} (95 % intervals)')
    table.add_column('metric', no_wrap=True)
    for name in reports:
        table.add_column(name, justify='right', overflow='fold', min_width=14)
    table.add_column('count', justify='right')
    for spec in shown_metrics([first]):
        cells = ['\n'.join([*cell_lines(spec, report), *change_lines(spec, report)]) for report in reports.values()]
        table.add_row(f'{spec.title}\n[dim]{spec.key}[/dim]', *cells, str(metric_value(first, spec.key, 'count')))
    return table


def print_segmentation(name: str, report: dict, console: Console) -> None:
    """Prints all metrics in a report of `measure_segmentation`, its remarks and the times.

    Args:
        name: Name of the network.
        report: The report.
        console: Console of the output.
    """
    where = f'{report["val"]["name"]} ({report["val"]["images"]} images, {len(report["classes"])} classes)'
    table = Table(title=Text(f'{name} on {where}', 'table.title'))
    for column in ('metric', 'mean', '95 % interval', 'std', 'seeds'):
        table.add_column(column, justify='left' if column == 'metric' else 'right')
    for key, entry in report['metrics'].items():
        spec, count = find_segmentation_spec(key), len(entry['seeds'])
        deviation = spec.show(entry['std']) if count > 1 else ''
        interval = f'{spec.show(entry["low"])} to {spec.show(entry["high"])}' if 'low' in entry else ''
        table.add_row(f'{spec.title}\n[dim]{key}[/dim]', spec.show(entry['value']), interval, deviation, str(count))
    console.print(table)
    for note in report['notes']:
        console.print(f'note: {note}', highlight=False, markup=False)
    spent = ', '.join(f'{method} {seconds:.0f}' for method, seconds in report['seconds'].items())
    console.print(f'seconds: {spent}', highlight=False)


def layer_title(layer: str | None) -> str:
    """Returns the text for a layer in titles."""
    return 'last layer' if layer is None else f'layer {layer.removeprefix("layer")}'


def print_reports(reports: dict[str, dict], layer: str, console: Console) -> None:
    """Prints a table of all metrics with intervals and differences, and the remarks on the draws.

    Args:
        reports: See `full_table`.
        layer: See `full_table`.
        console: Console of the output.
    """
    reference, first = next(iter(reports.items()))
    if not console.is_terminal:
        # A log has no width, and rich would wrap the values to 80 columns.
        console = Console(width=48 + 32 * len(reports))
    console.print(full_table(reports, layer))
    if len(reports) > 1:
        console.print(
            f'Δ: difference to {reference} on the same draws; in brackets its paired 95 % interval.',
            highlight=False,
            markup=False,
        )
    for line in remarks(reports):
        console.print(line, highlight=False, markup=False)
    for note in first['notes']:
        console.print(f'note: {note}', highlight=False, markup=False)


def empty_table(title: str) -> Table:
    """Returns a table in the style of all tables."""
    # Names of files and folders in it are not markup.
    return Table(title=Text(title, 'table.title'), title_justify='left', box=SIMPLE, padding=(0, 1, 0, 0))


def cell_lines(spec: MetricSpec, report: dict) -> list[str]:
    """Returns the lines of a cell: value, 95 % interval, and the number of items where there are few."""
    interval = '…'.join(map(spec.show, metric_interval(report, spec.key) or [None]))
    cell, few = [spec.show(metric_value(report, spec.key)), f'[dim]{interval}[/dim]'], few_items(spec, report)
    return [*cell, f'[dim]{few}[/dim]'] if few else cell


def change_lines(spec: MetricSpec, report: dict) -> list[str]:
    """Returns the line with the difference to the first network; none where there is no difference."""
    change = report.get('differences', {}).get('metrics', {}).get(spec.key)
    if not change:
        return []
    ends = [change['low'], change['high']]
    paired = '' if None in ends else ' \\[' + ', '.join(spec.show(end, sign=True) for end in ends) + ']'
    return [f'[dim]Δ {spec.show(change["value"], sign=True)}{paired}[/dim]']
