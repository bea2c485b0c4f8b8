"""Measured values of every layer of networks: grouping of the reports, the figure against depth, and a table."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mmdecouple.evaluation.headlines import remarks
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.report_values import metric_interval, metric_value, shown_metrics
from mmdecouple.networks.network import Network

from .style import MUTED, RunStyle, figure_style, network_styles, new_figure
from .terminal import cell_lines, layer_title

DEPTH_CAPTION = (
    'One line per network, with 95 % bootstrap intervals over the measured images. Compare networks at the same layer: '
    'deeper features mix more of their context, trained or not. The last point is the map that is read by default, '
    'of a ViT after the final norm.'
)


class Depth(NamedTuple):
    """Reports of one network at every layer.

    Attributes:
        name: Name of the network.
        network: The network at its last layer.
        reports: Layer -> report, in the order of the layers; None, for the last map, is the last one.
    """

    name: str
    network: Network
    reports: dict[str | None, dict]


def by_depth(networks: Mapping[str, Network], reports: Mapping[str, dict]) -> list[Depth]:
    """Returns the reports of networks that were opened at every layer, grouped by network.

    Args:
        networks: Name -> network, see `open_networks`.
        reports: Name -> report.
    """
    found: dict[int, Depth] = {}
    for name, network in networks.items():
        if network.model.layer is None:
            found[id(network.model.measured_backbone)] = Depth(name, network, {})
    for name, network in networks.items():
        found[id(network.model.measured_backbone)].reports[network.model.layer] = reports[name]
    for depth in found.values():
        depth.reports[None] = depth.reports.pop(None)
    return list(found.values())


def depth_figure(depths: Sequence[Depth]) -> Figure:
    """Draws each headline metric against depth: one panel per metric, one line with an interval band per network.

    The axis has the layers of the deepest network; the layers of a network with fewer are spread over it.

    Args:
        depths: Reports of the networks, see `by_depth`.

    Returns:
        Figure with up to three panels per row.
    """
    specs = _specs([report for depth in depths for report in depth.reports.values()])
    styles = network_styles({depth.name: depth.network for depth in depths})
    columns = min(3, max(len(specs), 1))
    rows = -(-len(specs) // columns) or 1
    with figure_style():
        figure = new_figure(3.6 * columns, 2.6 * rows + 0.4)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, spec in zip(grid.flat, specs):
            _panel(axes, spec, depths, styles)
        for axes in grid.flat[len(specs) :]:
            axes.set_visible(False)
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(), loc='outside lower center', ncols=min(max(len(depths), 1), 4)
        )
    return figure


def _specs(reports: Sequence[dict]) -> list[MetricSpec]:
    """Returns the headline metrics, or all metrics if none of them is measured."""
    return shown_metrics(reports, headline=True) or shown_metrics(reports)


def _panel(axes: Axes, spec: MetricSpec, depths: Sequence[Depth], styles: Mapping[str, RunStyle]) -> None:
    deepest = max(depths, key=lambda depth: len(depth.reports))
    end = len(deepest.reports) - 1
    scale = 100.0 if spec.percent else 1.0
    for depth in depths:
        count, style = len(depth.reports) - 1, styles[depth.name]
        shown = [
            (end + 1 if layer is None else number * end / count, report)
            for number, (layer, report) in enumerate(depth.reports.items(), 1)
            if metric_value(report, spec.key) is not None
        ]
        if not shown:
            continue
        places, values = zip(*((place, scale * metric_value(report, spec.key)) for place, report in shown))
        axes.plot(places, values, style.dash, marker=style.marker, ms=4, lw=1.5, color=style.color, label=depth.name)
        bands = [(place, span) for place, report in shown if (span := metric_interval(report, spec.key))]
        if bands:
            low, high = zip(*((scale * span[0], scale * span[1]) for _, span in bands))
            axes.fill_between([place for place, _ in bands], low, high, color=style.color, alpha=0.15, lw=0)
    axes.set_xticks(range(1, end + 2), [*(layer.removeprefix('layer') for layer in [*deepest.reports][:-1]), 'last'])
    axes.set_title(spec.title)
    axes.set_xlabel('layer' + (f'; {spec.direction}' if spec.direction else ''), fontsize=7.5, color=MUTED)


def depth_table(depth: Depth) -> Table:
    """Returns a table of the headline metrics of one network at every layer, with their 95 % intervals."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column('layer')
    specs = _specs(list(depth.reports.values()))
    for spec in specs:
        table.add_column(spec.title, justify='right')
    for layer, report in depth.reports.items():
        cells = []
        for spec in specs:
            cells.append('\n'.join(cell_lines(spec, report)))
        table.add_row('last' if layer is None else layer, *cells)
    return table


def print_depths(depths: Sequence[Depth], console: Console) -> None:
    """Prints a table of every network, see `depth_table`, and the remarks on the draws."""
    if not console.is_terminal:
        # A log has no width, and rich would wrap the values to 80 columns.
        console = Console(width=200)
    for depth in depths:
        where = depth.reports[None]['dataset']
        console.print(f'{depth.name} on {where}, every layer (95 % intervals)', highlight=False, markup=False)
        console.print(depth_table(depth))
        named = {layer_title(layer): report for layer, report in depth.reports.items()}
        for line in remarks(named):
            console.print(f'{depth.name}, {line}', highlight=False, markup=False)
    for note in depths[0].reports[None]['notes']:
        console.print(f'note: {note}', highlight=False, markup=False)
