"""Panels of the page: the image, and one map per network, which the script of the page fills."""

from typing import NamedTuple

from bokeh.events import Pan, PanStart, Tap
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    CustomJS,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    PrintfTickFormatter,
    Range1d,
)
from bokeh.plotting import figure

from mmdecouple.visualization.style import MUTED

_SIDE = 420
_BAR = 34
_MARGIN = 14


class ImagePanel(NamedTuple):
    """Models of the image panel that the script changes.

    Attributes:
        figure: The figure.
        source: Column `url` of the image.
    """

    figure: figure
    source: ColumnDataSource


class MapPanel(NamedTuple):
    """Models of a map panel that the script changes.

    Attributes:
        figure: The figure.
        source: Map and its position.
        peak: Position of the best match.
        mapper: Color scale.
        ticker: Ticks of the color bar.
    """

    figure: figure
    source: ColumnDataSource
    peak: ColumnDataSource
    mapper: LinearColorMapper
    ticker: FixedTicker


def browser_source(**columns: list) -> ColumnDataSource:
    """Returns columns that the browser fills at every move of the pointer, without informing the server."""
    return ColumnDataSource(data=columns, syncable=False)


def image_panel(name: str, point: ColumnDataSource) -> ImagePanel:
    """Returns the panel of the image.

    Args:
        name: Name of its root in the page.
        point: Columns `x` and `y` of the point, as shares from the lower left corner.
    """
    source, panel = browser_source(url=[]), _panel(name, point)
    panel.image_url(url='url', x=0, y=0, w=1, h=1, anchor='bottom_left', source=source, level='image')
    return ImagePanel(panel, source)


def map_panel(name: str, point: ColumnDataSource) -> MapPanel:
    """Returns the panel of a map, with its color bar and a tool that shows the value under the pointer.

    Args:
        name: Name of its root in the page.
        point: Columns `x` and `y` of the point, as shares from the lower left corner.
    """
    source, peak = browser_source(image=[], x=[], y=[], dw=[], dh=[]), browser_source(x=[], y=[])
    mapper = LinearColorMapper(palette='Viridis256', low=0, high=1, syncable=False)
    panel = _panel(name, point)
    drawn = panel.image(
        image='image', x='x', y='y', dw='dw', dh='dh', source=source, color_mapper=mapper, level='image'
    )
    panel.scatter(
        'x',
        'y',
        source=peak,
        size=13,
        marker='diamond',
        fill_color=None,
        line_color='white',
        line_width=2,
        level='overlay',
    )
    panel.add_tools(HoverTool(renderers=[drawn], tooltips=[('cosine', '@image{0.000}')]))
    ticker = FixedTicker(ticks=[0, 1], syncable=False)
    bar = ColorBar(
        color_mapper=mapper,
        ticker=ticker,
        formatter=PrintfTickFormatter(format='%.2f'),
        height=8,
        padding=4,
        margin=0,
        major_label_text_color=MUTED,
        border_line_color=None,
    )
    panel.add_layout(bar, 'below')
    return MapPanel(panel, source, peak, mapper, ticker)


def _panel(name: str, point: ColumnDataSource) -> figure:
    panel = figure(
        name=name,
        width=_SIDE,
        height=_SIDE + _BAR - 2 * _MARGIN,
        sizing_mode='scale_width',
        x_range=Range1d(0, 1),
        y_range=Range1d(0, 1),
        toolbar_location=None,
        tools='',
        min_border=_MARGIN,
        min_border_top=0,
        min_border_bottom=_BAR,
        outline_line_color=None,
    )
    panel.axis.visible = False
    panel.grid.visible = False
    panel.scatter(
        'x', 'y', source=point, size=15, fill_color='#F0E442', line_color='black', line_width=2, level='overlay'
    )
    move = CustomJS(code='window.affinityExplorer?.move(cb_obj.x, 1 - cb_obj.y)')
    for event in (Tap, PanStart, Pan):
        panel.js_on_event(event, move)
    return panel
