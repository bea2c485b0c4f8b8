"""Figures of the atlas: every metric against the depth of the layer."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmdecouple.evaluation.measures.catalog import find_spec
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.visualization.style import RunStyle, figure_style, new_figure, run_styles

from .measurement import LAST
from .results import COUPLING


def depth_figure(networks: dict[str, Any], described: dict[str, Any]) -> Figure:
    """Draws one panel per metric: its value and interval at every layer, of networks and their untrained twins.

    Args:
        networks: Name -> layer -> entries, see `coupling_entry`.
        described: Name -> entry, see `network_entry`.
    """
    shown = {name: layers for name, layers in networks.items() if len(layers) > 1}
    keys = [key for key in COUPLING if any(key in layers[LAST] for layers in shown.values()) and key != 'oknn_top1']
    # A twin has the color of its network; networks that share a twin give it that of the first.
    owners = {name: next((one for one in shown if described[one]['twin'] == name), name) for name in shown}
    styles = run_styles([name for name, owner in owners.items() if name == owner])
    with figure_style():
        figure = new_figure(3.6 * len(keys) + 0.2, 3.6)
        for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys):
            for name, layers in shown.items():
                _line(axes, find_spec(key), name, layers, styles[owners[name]], twin=name != owners[name])
            axes.set_title(find_spec(key).title)
            axes.set_xlabel('depth (share of the layers)')
        handles = axes.get_legend_handles_labels()
        figure.legend(*handles, loc='outside lower center', ncols=min(len(shown), 4))
    return figure


def _line(axes: Axes, spec: MetricSpec, name: str, layers: dict[str, Any], style: RunStyle, twin: bool) -> None:
    """Draws one network: a line over its layers, a band of the intervals, and a larger marker for the default layer."""
    scale = 100.0 if spec.percent else 1.0
    order = [layer for layer in layers if layer != LAST]
    depths = [(index + 1) / len(order) for index in range(len(order))]
    entries = [layers[layer][spec.key] for layer in order]
    dash, alpha = (':', 0.08) if twin else ('-', 0.18)
    axes.plot(
        depths,
        [scale * entry['value'] for entry in entries],
        dash,
        color=style.color,
        marker=style.marker,
        ms=3,
        label=name,
    )
    if all(entry['low'] is not None for entry in entries):
        low, high = ([scale * entry[end] for entry in entries] for end in ('low', 'high'))
        axes.fill_between(depths, low, high, color=style.color, alpha=alpha, lw=0)
    if not twin:
        axes.plot(1.0, scale * layers[LAST][spec.key]['value'], style.marker, color=style.color, ms=8, mfc='none')
