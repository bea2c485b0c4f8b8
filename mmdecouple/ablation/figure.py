"""Figures of an ablation table, with one panel per group and measured column."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.report_values import Difference
from mmdecouple.visualization.style import MUTED, RULE, figure_style, new_figure, run_styles, save_png

from .columns import measured_columns
from .rows import Figures, summarize
from .table import Table


class Line(NamedTuple):
    """One line of a group's panels.

    Args:
        label: Label beside the axis.
        row: Row that is shown, which also determines color and marker.
        minus: Row that is subtracted seed by seed; None to show the row itself.
    """

    label: str
    row: str
    minus: str | None = None


def write_figures(table: Table, rows: Sequence[dict[str, Any]], scale: str, folder: Path) -> list[Path]:
    """Writes `figure.png` of the rows and `differences.png` of compared rows, as `NAME_SETTING.png` for a setting.

    Args:
        table: The table.
        rows: Raw rows of the table.
        scale: Scale of the rows.
        folder: Folder of the files.

    Returns:
        Paths of the files; a figure without measured values is omitted.
    """
    paths = []
    for setting in table.settings:
        measured = [row for row in rows if row['setting'] == setting]
        keys = {key for row in measured for key in row['metrics']}
        specs = [spec for spec in measured_columns(table.columns).values() if spec.key in keys]
        groups = [group for group in table.groups if any(row['group'] == group for row in measured)]
        shown = {group: [Line(row.name, row.name) for row in table.rows_of(group, setting, scale)] for group in groups}
        compared = {
            group: [Line(f'{row} minus {other}', row, other) for row, other in table.compared(group, setting, scale)]
            for group in groups
        }
        for stem, lines in (('figure', shown), ('differences', compared)):
            lines = {group: of_group for group, of_group in lines.items() if of_group}
            if specs and lines:
                path = folder / (f'{stem}_{setting}.png' if setting else f'{stem}.png')
                title = ': '.join(part for part in (table.title, setting) if part)
                paths.append(_write(path, title, table, Figures(measured), setting, lines, specs))
    return paths


def _write(
    path: Path,
    title: str,
    table: Table,
    figures: Figures,
    setting: str,
    shown: dict[str, list[Line]],
    specs: Sequence[MetricSpec],
) -> Path:
    heights = [len(lines) + 2 for lines in shown.values()]
    with figure_style():
        figure = new_figure(1.6 + 1.6 * len(specs), 0.26 * sum(heights) + 0.4)
        grid = figure.subplots(len(shown), len(specs), squeeze=False, height_ratios=heights)
        for panels, (group, lines) in zip(grid, shown.items()):
            for axes, spec in zip(panels, specs):
                _panel(axes, figures, table, group, lines, setting, spec)
                axes.set_yticks(range(len(lines)), [''] * len(lines))
            panels[0].set_yticks(range(len(lines)), [line.label for line in lines])
            panels[0].set_ylabel(group, fontweight='bold')
        for axes, spec in zip(grid[0], specs):
            axes.set_title(spec.title)
        figure.suptitle(title, fontsize=10)
        return save_png(figure, path)


def _panel(
    axes: Axes, figures: Figures, table: Table, group: str, lines: Sequence[Line], setting: str, spec: MetricSpec
) -> None:
    scale = 100 if spec.percent else 1
    styles = run_styles(list(dict.fromkeys(row.name for row in table.rows)), 'untrained')
    for place, line in enumerate(lines):
        values = [scale * value for value in figures.paired(group, line.row, line.minus, setting, spec.key)]
        if not values:
            continue
        style, found = styles[line.row], summarize(values)
        if table.image_intervals:
            seeds = figures.over_images(group, line.row, setting, spec.key, minus=line.minus)
            _image_intervals(axes, place, list(seeds.values()), scale, style.color)
        elif found.half is not None:
            ends = [found.mean - found.half, found.mean + found.half]
            axes.plot(ends, [place] * 2, color=style.color, lw=2.2, alpha=0.45)
        if not table.image_intervals:
            axes.plot(values, [place] * len(values), '.', color=style.color, ms=4)
        axes.plot(found.mean, place, style.marker, color=style.color, ms=5.5)
        if line.minus is None and line.row == table.references.get(group):
            axes.axvline(found.mean, color=MUTED, lw=0.8, ls=':', zorder=0)
    if lines[0].minus is not None:
        axes.axvline(0, color=MUTED, lw=0.8, zorder=0)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.margins(x=0.12)
    if np.ptp(axes.get_xlim()) < 1e-9:
        axes.set_xlim(-1, 1)
    axes.grid(axis='y', visible=False)
    axes.spines['left'].set_color(RULE)
    axes.locator_params(axis='x', nbins=4)


def _image_intervals(axes: Axes, place: int, seeds: Sequence[Difference], scale: float, color: str) -> None:
    """Draws one line per seed above each other: its value and its interval over images."""
    for number, found in enumerate(seeds):
        height = place + 0.22 * (number - (len(seeds) - 1) / 2)
        axes.plot(scale * found.value, height, '.', color=color, ms=4)
        if found.low is not None:
            axes.plot([scale * found.low, scale * found.high], [height] * 2, color=color, lw=1.4, alpha=0.5)
