"""The page: its template with the script and styles, served or exported as one file with all results."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmdecouple.utils.files import write_bytes

from .answers import address_of, answer, packed, photo
from .layers import LAST
from .session import Place, Progress, Session

LARGE = 50 * 2**20
_CENTER = (0.5, 0.5)
_SCRIPTS = ('features.js', 'plots.js', 'sheet.js', 'explorer.js')
_PALETTES = ('viridis', 'magma')


def served_page(session: Session) -> str:
    """Returns the page that requests results from the server."""
    return _page(session, dict(served=True, lsc=True), [f'photo/{index}' for index in range(len(session.subjects))])


def write_page(
    session: Session,
    path: Path,
    *,
    lsc: bool = False,
    regions: int = 1,
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> int:
    """Writes the page as a single file, which requires neither a server nor a network.

    Args:
        session: Networks and images, for all of which the results are computed.
        path: HTML file.
        lsc: Whether to compute and include LSC maps.
        regions: Number of regions per image whose surroundings are swapped, the first of `Session.regions`.
        say: Called with the expected size before most results are computed.
        progress: Called with (results done, total results).

    Returns:
        Size of the file in bytes.
    """
    photos = [_data_uri('image/jpeg', photo(session, index)) for index in range(len(session.subjects))]
    contained = dict(served=False, lsc=lsc, regions=regions)
    places = list(_places(session, regions))
    kinds = ('features', 'shared', 'lsc') if lsc else ('features', 'shared')
    expected = sum(map(len, photos)) + _expected(session, places)
    say(f'{path}: about {expected / 2**20:.1f} MB for {_content(session, regions)}')
    if expected > LARGE:
        say(
            f'This is more than {LARGE // 2**20} MB: fewer --layers, --regions or --limit, or a smaller --size, give a '
            'smaller file.'
        )
    results, total = {}, len(places)
    for done, place in enumerate(places, 1):
        for kind in kinds:
            if kind != 'lsc' or place.region is None:
                results[address_of(kind, place)] = answer(session, kind, place)
        if progress is not None:
            progress(done, total)
    foot = (
        f'Contained: {_content(session, regions)}. Features are stored rounded: the error of an affinity is at most '
        f'{session.error:.4f} over all points. Components and changes were computed before rounding.'
    )
    page = encoded(_page(session, contained, photos, results, foot))
    write_bytes(path, page)
    return len(page)


def _places(session: Session, regions: int) -> Iterator[Place]:
    """Yields what is exported; all images of a layer follow each other, so that their features are computed once."""
    for network, layers in enumerate(session.layers):
        for layer in range(len(layers)):
            for picture, known in enumerate(session.regions):
                for region in (None, *range(min(regions, len(known)))):
                    yield Place(picture, network, layer, region)


def _expected(session: Session, places: list[Place]) -> int:
    """Returns the bytes of all results, from those of the first image, which are about as large as the others."""
    sizes = {
        place[1:3]: len(answer(session, 'features', place))
        for place in places
        if place.picture == 0 and place.region is None
    }
    return sum(sizes[place[1:3]] for place in places)


def encoded(page: str) -> bytes:
    """Returns a page in UTF-8, in which names of files that are not UTF-8 have question marks."""
    return page.encode('utf-8', 'replace')


def _content(session: Session, regions: int) -> str:
    pictures, networks = len(session.subjects), len(session.networks)
    layers = sum(map(len, session.layers))
    swapped = sum(min(regions, len(known)) for known in session.regions)
    return (
        f'{_number(pictures, "image")}, {_number(networks, "network")}, {_number(layers, "layer")} in total, '
        f'{_number(swapped, "region")} with foreign surroundings'
    )


def _number(count: int, what: str) -> str:
    return f'{count} {what}{"" if count == 1 else "s"}'


def _page(
    session: Session,
    contained: dict[str, Any],
    photos: list[str],
    results: dict[str, str] | None = None,
    foot: str = '',
) -> str:
    environment = Environment(
        loader=PackageLoader(__package__, ''), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    source = files(__package__)
    script = '\n'.join(source.joinpath(name).read_text('utf-8') for name in _SCRIPTS)
    return environment.get_template('page.html').render(
        title=' · '.join(session.names),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(source.joinpath('page.css').read_text('utf-8')),
        served=contained['served'],
        lsc=contained['lsc'],
        swaps=any(session.regions) and contained.get('regions', 1) > 0,
        pictures=[subject.name for subject in session.subjects],
        networks=[
            dict(
                name=name,
                color=session.styles[name].color,
                layers=[_label(layer) for layer in layers],
                start=_start(layers),
            )
            for name, layers in zip(session.names, session.layers)
        ],
        index=_inert(json.dumps(_index(session, contained, photos))),
        results={address: _inert(content) for address, content in (results or {}).items()},
        foot=foot,
    )


def _index(session: Session, contained: dict[str, Any], photos: list[str]) -> dict[str, Any]:
    pictures = [
        dict(
            name=subject.name,
            photo=photos[index],
            point=[*subject.points, _CENTER][0],
            regions=[region._asdict() for region in session.regions[index][: contained.get('regions')]],
            background=session.background(index),
        )
        for index, subject in enumerate(session.subjects)
    ]
    levels = np.arange(256)
    palettes = {
        name: packed(matplotlib.colormaps[name](levels, bytes=True)[:, :3].astype(np.uint8)) for name in _PALETTES
    }
    layers = [_start(layers) for layers in session.layers]
    return dict(pictures=pictures, names=session.names, layers=layers, palettes=palettes, served=contained['served'])


def _start(layers: tuple[str, ...]) -> int:
    return len(layers) - 1


def _label(layer: str) -> str:
    return 'last, as measured' if layer == LAST else f'block {layer}' if layer.isdecimal() else layer


def _inert(content: str) -> Markup:
    """Returns JSON that can stand in a script element: without `<`, nothing in it can end the element."""
    return Markup(content.replace('<', '\\u003c'))


def _data_uri(kind: str, content: bytes) -> str:
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'
