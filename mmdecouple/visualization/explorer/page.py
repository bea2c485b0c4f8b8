"""The page: one Bokeh document for both forms, with its pictures, panels and script."""
import base64
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from bokeh.core.properties import Any, Instance, Int, List, String
from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.events import DocumentReady, Pan, PanStart, Tap
from bokeh.model import DataModel
from bokeh.models import (ColorBar, ColumnDataSource, CustomJS, FixedTicker, HoverTool, LinearColorMapper,
                          PrintfTickFormatter, Range1d)
from bokeh.plotting import figure
from bokeh.resources import INLINE

from mmdecouple.utils.files import write_bytes

from ..style import MUTED
from .coding import CodedMap
from .looking import Looking, Progress

_SIDE = 420
_BAR = 34
_MARGIN = 14
_START = '''window.startExplorer({state, point, image: {figure: panel, source: image, name: 'image'},
maps: maps.map((map, k) => ({...map, name: names[k], readout: `readout-${k}`, shown: null}))});'''


class Picture(DataModel):
    """One image and what the networks say of it; empty lists where that is not computed yet."""

    url = String(help='data URI')
    point = List(Any, help='x, y at the start, shares')
    features = List(Any, help='codes and steps, one a network')
    consistency = List(Any, help='LSC maps, one a network')
    note = String(default='', help='why there is nothing to show')


class PageState(DataModel):
    """What the page holds and shows; the server watches it."""

    pictures = List(Instance(Picture))
    picture = Int(default=0, help='index of the picture')
    view = String(default='affinity', help='affinity or lsc')
    scale = String(default='fixed', help='fixed or per_map')


class MapPanel(NamedTuple):
    """Models of a map's panel that the page's script fills."""

    figure: figure
    source: ColumnDataSource
    peak: ColumnDataSource
    mapper: LinearColorMapper
    ticker: FixedTicker


def fill_features(picture: Picture, coded: list[CodedMap]) -> None:
    """Give a picture its features."""
    picture.features = [dict(codes=item.codes, steps=item.steps) for item in coded]


def build_page(looking: Looking, document: Document, *, lsc: bool = True) -> PageState:
    """Put the page into a document.

    Args:
        looking: Networks and images.
        document: An empty document.
        lsc: Whether LSC maps can be had.

    Returns:
        PageState: What the page holds; its pictures are still without features.
    """
    pictures = [Picture(name=subject.name, url=_data_uri(subject.image), point=list((subject.points or ((0.5, 0.5), ))[0]))
                for subject in looking.subjects]
    state = PageState(name='state', pictures=pictures)
    point = _browser_source(x=[], y=[])
    image = _browser_source(url=[])
    panel = _panel('image', point)
    panel.image_url(url='url', x=0, y=0, w=1, h=1, anchor='bottom_left', source=image, level='image')
    maps = [_map_panel(f'map{place}', point) for place in range(len(looking.networks))]
    start = CustomJS(code=_START, args=dict(
        state=state, point=point, panel=panel, image=image, names=looking.names,
        maps=[item._asdict() for item in maps]))
    document.js_on_event(DocumentReady, start)
    refresh = CustomJS(code='window.affinityExplorer?.show()')
    for picture in pictures:
        for name in ('features', 'consistency', 'note'):
            picture.js_on_change(name, refresh)
    for root in (panel, *(item.figure for item in maps), state):
        document.add_root(root)
    document.title = ' · '.join(looking.names)
    document.template = files(__package__).joinpath('page.html').read_text('utf-8')
    document.template_variables.update(
        script=files(__package__).joinpath('explorer.js').read_text('utf-8'), lsc=lsc,
        pictures=[subject.name for subject in looking.subjects], columns=_columns(len(maps) + 1),
        networks=[(name, looking.styles[name].color) for name in looking.names])
    return state


def write_page(looking: Looking, path: Path, *, lsc: bool = False, progress: Progress | None = None) -> int:
    """Write the page as one file that needs neither a server nor a network.

    Args:
        looking: Networks and images; all features are computed.
        path: HTML file.
        lsc: Whether to compute and include LSC maps.
        progress: Called with (images done, images in all).

    Returns:
        int: Size of the file in bytes.
    """
    document = Document()
    pictures = build_page(looking, document, lsc=lsc).pictures
    for index, picture in enumerate(pictures):
        fill_features(picture, looking.features(index))
        picture.consistency = looking.consistency(index) if lsc else []
        if progress is not None:
            progress(index + 1, len(pictures))
    document.template_variables['foot'] = (
        f'Features are stored rounded: no affinity is off by more than {looking.error:.4f}, measured over all points.')
    page = file_html(document, INLINE, document.title, template=document.template,
                     template_variables=document.template_variables).encode()
    write_bytes(path, page)
    return len(page)


def check_page(path: Path) -> None:
    """Refuse a file that could not be written, before anything is computed for it.

    Raises:
        ValueError: It is a folder, or does not end with .html.
    """
    if path.is_dir() or path.suffix.lower() not in ('.html', '.htm'):
        raise ValueError(f'Explorer: {path} is no name of an HTML file; give --export FILE.html.')


def _columns(panels: int) -> int:
    return panels if panels <= 4 else -(-panels // 2)


def _panel(name: str, point: ColumnDataSource) -> figure:
    panel = figure(name=name, width=_SIDE, height=_SIDE + _BAR - 2 * _MARGIN, sizing_mode='scale_width', toolbar_location=None, tools='',
                   x_range=Range1d(0, 1), y_range=Range1d(0, 1), min_border=_MARGIN, min_border_bottom=_BAR, min_border_top=0, outline_line_color=None)
    panel.axis.visible = False
    panel.grid.visible = False
    panel.scatter('x', 'y', source=point, size=15, fill_color='#F0E442', line_color='black', line_width=2, level='overlay')
    move = CustomJS(code='window.affinityExplorer?.move(cb_obj.x, 1 - cb_obj.y)')
    for event in (Tap, PanStart, Pan):
        panel.js_on_event(event, move)
    return panel


def _map_panel(name: str, point: ColumnDataSource) -> MapPanel:
    source, peak = _browser_source(image=[], x=[], y=[], dw=[], dh=[]), _browser_source(x=[], y=[])
    mapper = LinearColorMapper(palette='Viridis256', low=0, high=1, syncable=False)
    panel = _panel(name, point)
    drawn = panel.image(image='image', x='x', y='y', dw='dw', dh='dh', source=source, color_mapper=mapper,
                        level='image')
    panel.scatter('x', 'y', source=peak, size=13, marker='diamond', fill_color=None, line_color='white', line_width=2,
                  level='overlay')
    panel.add_tools(HoverTool(renderers=[drawn], tooltips=[('cosine', '@image{0.000}')]))
    ticker = FixedTicker(ticks=[0, 1], syncable=False)
    panel.add_layout(ColorBar(color_mapper=mapper, ticker=ticker, formatter=PrintfTickFormatter(format='%.2f'), height=8,
                              padding=4, margin=0, major_label_text_color=MUTED, border_line_color=None), 'below')
    return MapPanel(panel, source, peak, mapper, ticker)


def _browser_source(**columns: list) -> ColumnDataSource:
    # The browser fills it at every move of the pointer: the server need not hear of it.
    return ColumnDataSource(data=columns, syncable=False)


def _data_uri(image: np.ndarray) -> str:
    coded = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return 'data:image/jpeg;base64,' + base64.b64encode(coded.tobytes()).decode()
