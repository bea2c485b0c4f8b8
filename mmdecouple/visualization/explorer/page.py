"""The page as a Bokeh document, for the server and for export, with pictures, panels and script."""

import base64
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from bokeh.core.properties import Any, Instance, Int, List, String
from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.events import DocumentReady
from bokeh.model import DataModel
from bokeh.models import CustomJS
from bokeh.resources import INLINE

from mmdecouple.utils.files import write_bytes

from .panels import browser_source, image_panel, map_panel
from .quantize import QuantizedMap
from .session import Progress, Session

_CENTER = (0.5, 0.5)
_START = """window.startExplorer({state, point, image: {...image, name: 'image'},
maps: maps.map((map, k) => ({...map, name: names[k], readout: `readout-${k}`, shown: null}))});"""


class Picture(DataModel):
    """One image with the results of the networks, whose lists are empty until they are computed."""

    url = String(help='data URI')
    point = List(Any, help='x, y at the start, shares')
    features = List(Any, help='codes and steps, one per network')
    consistency = List(Any, help='LSC maps, one per network')
    note = String(default='', help='reason why a result is missing')


class PageState(DataModel):
    """State of the page, which the server observes."""

    pictures = List(Instance(Picture))
    picture = Int(default=0, help='index of the picture')
    view = String(default='affinity', help='affinity or lsc')
    scale = String(default='fixed', help='fixed or per_map')


def fill_features(picture: Picture, coded: list[QuantizedMap]) -> None:
    """Stores the quantized features of a picture."""
    picture.features = [dict(codes=item.codes, steps=item.steps) for item in coded]


def build_page(session: Session, document: Document, *, lsc: bool = True) -> PageState:
    """Adds the page to a document.

    Args:
        session: Networks and images.
        document: Empty document.
        lsc: Whether LSC maps are available.

    Returns:
        State of the page, whose pictures have no features yet.
    """
    pictures = [
        Picture(name=subject.name, url=_data_uri(subject.image), point=list([*subject.points, _CENTER][0]))
        for subject in session.subjects
    ]
    state = PageState(name='state', pictures=pictures)
    point = browser_source(x=[], y=[])
    image = image_panel('image', point)
    maps = [map_panel(f'map{place}', point) for place in range(len(session.networks))]
    start = CustomJS(
        code=_START,
        args=dict(
            state=state,
            point=point,
            image=image._asdict(),
            maps=[panel._asdict() for panel in maps],
            names=session.names,
        ),
    )
    document.js_on_event(DocumentReady, start)
    refresh = CustomJS(code='window.affinityExplorer?.show()')
    for picture in pictures:
        for name in ('features', 'consistency', 'note'):
            picture.js_on_change(name, refresh)
    for root in (image.figure, *(panel.figure for panel in maps), state):
        document.add_root(root)
    document.title = ' · '.join(session.names)
    document.template = files(__package__).joinpath('page.html').read_text('utf-8')
    document.template_variables.update(
        script=files(__package__).joinpath('explorer.js').read_text('utf-8'),
        lsc=lsc,
        pictures=[subject.name for subject in session.subjects],
        columns=_columns(len(maps) + 1),
        networks=[(name, session.styles[name].color) for name in session.names],
    )
    return state


def write_page(session: Session, path: Path, *, lsc: bool = False, progress: Progress | None = None) -> int:
    """Writes the page as a single file, which requires neither a server nor a network.

    Args:
        session: Networks and images, whose features are computed.
        path: HTML file.
        lsc: Whether to compute and include LSC maps.
        progress: Called with (images done, total images).

    Returns:
        Size of the file in bytes.
    """
    document = Document()
    pictures = build_page(session, document, lsc=lsc).pictures
    for index, picture in enumerate(pictures):
        fill_features(picture, session.features(index))
        picture.consistency = session.consistency(index) if lsc else []
        if progress is not None:
            progress(index + 1, len(pictures))
    document.template_variables['foot'] = (
        f'Features are stored rounded: the error of an affinity is at most {session.error:.4f} over all points.'
    )
    page = file_html(
        document, INLINE, document.title, template=document.template, template_variables=document.template_variables
    ).encode()
    write_bytes(path, page)
    return len(page)


def _columns(panels: int) -> int:
    return panels if panels <= 4 else -(-panels // 2)


def _data_uri(image: np.ndarray) -> str:
    coded = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return 'data:image/jpeg;base64,' + base64.b64encode(coded.tobytes()).decode()
