"""A table as figures: one file a setting, a panel for each group and measured column."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from mmdecouple.visualization.style import MUTED, RULE, figure_style, new_figure, run_styles, save_png

from .columns import COLUMNS, Column
from .rows import Figures, summarize
from .table import Row, Table


def write_figures(table: Table, rows: Sequence[dict[str, Any]], scale: str, folder: Path) -> list[Path]:
    """Write `figure.png`, or `figure_SETTING.png` for each setting that has figures.

    Args:
        table: The table.
        rows: Its raw rows.
        scale: Of the rows.
        folder: Where the files go.
    """
    paths = []
    for setting in table.settings:
        measured = [row for row in rows if row['setting'] == setting]
        keys = {key for row in measured for key in row['metrics']}
        names = [name for name in table.columns if COLUMNS[name].key in keys]
        groups = [group for group in table.groups if any(row['group'] == group for row in measured)]
        if not names or not groups:
            continue
        shown = {group: [row for row in table.rows if row.group == group and setting in row.settings
                         and scale in row.bases] for group in groups}
        path = folder / (f'figure_{setting}.png' if setting else 'figure.png')
        paths.append(_write(path, table, Figures(measured), setting, shown, names))
    return paths


def _write(path: Path, table: Table, figures: Figures, setting: str, shown: dict[str, list[Row]],
           names: Sequence[str]) -> Path:
    heights = [len(rows) + 2 for rows in shown.values()]
    with figure_style():
        figure = new_figure(1.2 + 1.9 * len(names), 0.26 * sum(heights) + 0.4)
        grid = figure.subplots(len(shown), len(names), squeeze=False, height_ratios=heights)
        for line, (group, rows) in zip(grid, shown.items()):
            for axes, name in zip(line, names):
                _panel(axes, figures, rows, table.references.get(group), setting, COLUMNS[name])
                axes.set_yticks(range(len(rows)), [''] * len(rows))
            line[0].set_yticks(range(len(rows)), [row.name for row in rows])
            line[0].set_ylabel(group, fontweight='bold')
        for axes, name in zip(grid[0], names):
            axes.set_title(name + (' (%)' if COLUMNS[name].percent else ''))
        figure.suptitle(table.title + (f': {setting}' if setting else ''), fontsize=10)
        return save_png(figure, path)


def _panel(axes: Axes, figures: Figures, rows: Sequence[Row], reference: str | None, setting: str,
           column: Column) -> None:
    scale = 100 if column.percent else 1
    styles = run_styles([row.name for row in rows], 'untrained')
    for place, row in enumerate(rows):
        values = [scale * value for value in figures.per_seed(row.group, row.name, setting, column.key).values()]
        if not values:
            continue
        style, found = styles[row.name], summarize(values)
        if found.half is not None:
            ends = [found.mean - found.half, found.mean + found.half]
            axes.plot(ends, [place] * 2, color=style.color, lw=2.2, alpha=0.45)
        axes.plot(values, [place] * len(values), '.', color=style.color, ms=4)
        axes.plot(found.mean, place, style.marker, color=style.color, ms=5.5)
        if row.name == reference:
            axes.axvline(found.mean, color=MUTED, lw=0.8, ls=':', zorder=0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.grid(axis='y', visible=False)
    axes.spines['left'].set_color(RULE)
    axes.locator_params(axis='x', nbins=4)
