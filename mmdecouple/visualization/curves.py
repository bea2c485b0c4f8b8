"""Training curves, with one panel per loss term and one line per run."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .runs import Run
from .style import RunStyle, figure_style, new_figure

_TITLES = {
    'loss': 'Total (as optimized)',
    'loss_decoupling': 'De-coupling term (weighted)',
    'decoupling': 'De-coupling loss (unweighted)',
}


def smooth(values: np.ndarray, share: float = 0.04) -> np.ndarray:
    """Returns the centered moving average over a window of `share` of the curve's length.

    Args:
        values: Curve `(N,)`.
        share: Window length as a share of N, in (0, 1]; the window shrinks at both ends.

    Returns:
        `(N,)`, equal to `values` where the window contains one point.
    """
    half = int(len(values) * share / 2)
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def loss_figure(runs: Sequence[Run], styles: dict[str, RunStyle]) -> Figure | None:
    """Draws the training curves: logged values in a faint color, smoothed values in bold.

    Args:
        runs: Runs; those without curves, such as the untrained network, are omitted.
        styles: Run name -> style.

    Returns:
        Figure with up to three panels per row; None if no run has a loss curve.
    """
    terms = {term: None for run in runs for term in run.losses}
    order = [term for term in terms if term == 'loss']
    order += [term for term in terms if term not in _TITLES]
    order += [term for term in _TITLES if term in terms and term != 'loss']
    if not order:
        return None
    columns = min(3, len(order))
    rows = -(-len(order) // columns)
    with figure_style():
        figure = new_figure(max(3.4 * columns, 5.0), 2.6 * rows + 0.4)
        figure.get_layout_engine().set(hspace=0.08)
        grid = figure.subplots(rows, columns, squeeze=False)
        handles = {}
        for axes, term in zip(grid.flat, order):
            for run in runs:
                curve = run.losses.get(term)
                if curve is None:
                    continue
                style = styles[run.name]
                axes.plot(curve[:, 0], curve[:, 1], color=style.color, lw=0.8, alpha=0.25)
                (handles[run.name],) = axes.plot(
                    curve[:, 0],
                    smooth(curve[:, 1]),
                    style.dash,
                    color=style.color,
                    lw=1.7,
                    marker='.' if len(curve) < 3 else '',
                )
            axes.set_title(_TITLES.get(term) or _title(term))
            axes.set_xlabel('iteration')
            axes.margins(x=0.01)
        for axes in grid.flat[len(order) :]:
            axes.set_visible(False)
        figure.legend(handles.values(), handles.keys(), loc='outside lower center', ncols=min(len(handles), 5))
    return figure


def _title(term: str) -> str:
    """Returns the title of a method's own term, such as `Dense term (weighted)` for `loss_dense`."""
    return f'{term.removeprefix("loss_").replace("_", " ").capitalize()} term (weighted)'
