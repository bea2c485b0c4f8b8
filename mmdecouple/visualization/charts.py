"""Charts of measured coupling: intervals, histograms, and curves over the masked share."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmdecouple.evaluation.measures.catalog import find_spec
from mmdecouple.evaluation.measures.metric_spec import RECOGNITION, MetricSpec
from mmdecouple.evaluation.report_values import metric_value, shown_metrics

from .runs import Run
from .style import INK, MUTED, RunStyle, figure_style, new_figure

Styles = dict[str, RunStyle]


def interval_figure(runs: Sequence[Run], styles: Styles) -> Figure:
    """Draws one panel per headline metric, with a dot and its 95 % interval for every run.

    Args:
        runs: Measured runs, drawn from top to bottom.
        styles: Run name -> style, see `run_styles`.

    Returns:
        Figure with up to three panels per row.
    """
    specs = shown_metrics([run.coupling for run in runs], headline=True)
    columns = min(3, max(len(specs), 1))
    rows = -(-len(specs) // columns) or 1
    with figure_style():
        figure = new_figure(10.0, rows * (0.9 + 0.3 * len(runs)))
        figure.get_layout_engine().set(hspace=0.08)
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, spec in zip(grid.flat, specs):
            _interval_panel(axes, spec, runs, styles)
        for axes in grid.flat[len(specs) :]:
            axes.set_visible(False)
    return figure


def _interval_panel(axes: Axes, spec: MetricSpec, runs: Sequence[Run], styles: Styles) -> None:
    scale = 100.0 if spec.percent else 1.0
    for row, run in enumerate(runs):
        value = metric_value(run.coupling, spec.key)
        if value is None:
            continue
        low, high = (metric_value(run.coupling, spec.key, end) for end in ('low', 'high'))
        style = styles[run.name]
        if low is not None and high is not None:
            axes.plot(
                [scale * low, scale * high], [row, row], color=style.color, lw=2.2, alpha=0.45, solid_capstyle='round'
            )
        axes.plot(scale * value, row, style.marker, color=style.color, ms=6.5)
        axes.annotate(
            spec.show(value),
            (scale * value, row),
            (0, 7),
            ha='center',
            fontsize=7.5,
            textcoords='offset points',
            color=INK,
        )
    axes.set_yticks(range(len(runs)), [run.name for run in runs], color=INK)
    axes.set_ylim(len(runs) - 0.5, -0.75)
    axes.margins(x=0.16)
    axes.grid(axis='y', visible=False)
    axes.spines['left'].set_visible(False)
    axes.locator_params(axis='x', nbins=5)
    axes.set_title(spec.title)
    axes.set_xlabel(_direction(spec), fontsize=7.5, color=MUTED)


def _direction(spec: MetricSpec) -> str:
    coupled = spec.group != RECOGNITION and spec.better and not spec.better.isdecimal()
    return f'{spec.better} = less coupled' if coupled else spec.direction


def histogram_figure(runs: Sequence[Run], styles: Styles, key: str, xlabel: str) -> Figure | None:
    """Draws the distribution of a metric over its draws, one ridge per run on a common axis.

    Args:
        runs: Measured runs.
        styles: Run name -> style.
        key: Key in `histograms`, such as `cr_intra_cell`.
        xlabel: Name of the quantity.

    Returns:
        Figure of the share of draws per bin, with the mean marked; None if no run has the key.
    """
    having = [run for run in runs if key in run.coupling.get('histograms', {})]
    if not having:
        return None
    shares, edges = {}, {}
    for run in having:
        histogram = run.coupling['histograms'][key]
        counts = np.asarray(histogram['counts'], np.float64)
        shares[run.name] = 100.0 * counts / max(counts.sum(), 1.0)
        edges[run.name] = np.asarray(histogram['edges'], np.float64)
    top = 1.12 * max(share.max() for share in shares.values())
    left = min(_support(edges[run.name], shares[run.name])[0] for run in having)
    right = max(_support(edges[run.name], shares[run.name])[1] for run in having)
    with figure_style():
        figure = new_figure(6.4, 0.7 + 1.05 * len(having))
        grid = figure.subplots(len(having), 1, sharex=True, squeeze=False)[:, 0]
        for axes, run in zip(grid, having):
            color = styles[run.name].color
            axes.stairs(shares[run.name], edges[run.name], fill=True, color=color, alpha=0.30)
            axes.stairs(shares[run.name], edges[run.name], color=color, lw=1.4)
            centers = (edges[run.name][1:] + edges[run.name][:-1]) / 2
            # The mean of the bins is not exact, as values beyond the last bin are counted in it.
            known = [metric_value(run.coupling, name) for name in (key, f'{key}_mean')]
            binned = np.average(centers, weights=shares[run.name])
            mean = next((value for value in known if value is not None), binned)
            axes.axvline(mean, color=color, lw=1.4, ls='--')
            axes.set_title(f'{run.name}   mean {mean:.3f}', loc='right', fontsize=8.5, pad=2.0)
            axes.set_ylim(0, top)
            axes.locator_params(axis='y', nbins=3)
        grid[-1].set_xlim(left, right)
        grid[-1].set_xlabel(xlabel)
        figure.supylabel('share of draws (%)', fontsize=9)
    return figure


def _support(edges: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    filled = np.flatnonzero(shares > 0)
    if filled.size == 0:
        return float(edges[0]), float(edges[-1])
    return float(edges[filled[0]]), float(edges[filled[-1] + 1])


def ratio_curve_figure(runs: Sequence[Run], styles: Styles, statistic: str = 'median') -> Figure | None:
    """Draws CR inter against the masked share of A, one panel per reference and one line per run.

    Args:
        runs: Measured runs.
        styles: Run name -> style.
        statistic: `median` or `mean` over pairs.

    Returns:
        The figure; None if no run has the curves.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.coupling.get('curves', {})))
    if not keys:
        return None
    with figure_style():
        figure = new_figure(4.6 * len(keys) + 0.4, 3.3)
        grid = figure.subplots(1, len(keys), squeeze=False)[0]
        for axes, key in zip(grid, keys):
            axes.axhline(1.0, color=MUTED, lw=1.0)
            for run in runs:
                curve = run.coupling.get('curves', {}).get(key)
                if curve is None:
                    continue
                style = styles[run.name]
                axes.plot(
                    curve['ratio'],
                    curve[statistic],
                    style.dash,
                    marker=style.marker,
                    ms=4.5,
                    color=style.color,
                    label=run.name,
                    lw=1.6,
                )
            axes.set_title(find_spec(f'{key}_{statistic}').label)
            axes.set_xlabel('masked share of object A')
        grid[0].set_ylabel(f'{statistic} over pairs')
        figure.legend(*grid[0].get_legend_handles_labels(), loc='outside lower center', ncols=min(len(runs), 5))
    return figure
