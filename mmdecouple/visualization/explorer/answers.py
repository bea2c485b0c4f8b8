"""Addresses of what the page shows, and their content as JSON, the same for the server and in an exported file."""

import base64
import json
import re
from typing import Any

import cv2
import numpy as np

from mmdecouple.datasets.reading import UnreadableImage
from mmdecouple.datasets.resizing import resize
from mmdecouple.utils.errors import UserError

from .session import Place, Progress, Session

PHOTO_SIDE = 2048
_ADDRESS = re.compile(r'(features|shared|lsc)/(\d{1,7})/(\d)/(\d{1,4})/(own|\d{1,4})', re.ASCII)
_PHOTO = re.compile(r'photo/(\d{1,7})', re.ASCII)


def address_of(kind: str, place: Place) -> str:
    """Returns the address of a result.

    Args:
        kind: `features`, `shared` (components of all images) or `lsc`.
        place: What is read.
    """
    region = 'own' if place.region is None else place.region
    return f'{kind}/{place.picture}/{place.network}/{place.layer}/{region}'


def read_address(session: Session, text: str) -> tuple[str, Place] | None:
    """Returns the kind and place of an address, or None if there is no such result."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    kind, (picture, network, layer) = found[1], map(int, found.group(2, 3, 4))
    region = None if found[5] == 'own' else int(found[5])
    if picture >= len(session.subjects) or network >= len(session.networks) or layer >= len(session.layers[network]):
        return None
    if region is not None and (kind == 'lsc' or region >= len(session.regions[picture])):
        return None
    return kind, Place(picture, network, layer, region)


def read_photo_address(session: Session, text: str) -> int | None:
    """Returns the index of the image of an address such as `photo/0`, or None if there is no such image."""
    found = _PHOTO.fullmatch(text)
    return int(found[1]) if found and int(found[1]) < len(session.subjects) else None


def answer(session: Session, kind: str, place: Place, progress: Progress | None = None) -> str:
    """Returns a result as JSON, with arrays as in `packed`.

    Args:
        session: Networks and images.
        kind: See `address_of`.
        place: What is read.
        progress: See `Session.consistency`.

    Raises:
        UserError: The features cannot be computed.
    """
    if kind == 'lsc':
        return json.dumps(packed(session.consistency(place, progress)))
    if kind == 'shared':
        return json.dumps(packed(session.shared_colors(place)))
    features, colors, change = session.reading(place)
    content: dict[str, Any] = dict(codes=packed(features.codes), steps=packed(features.steps), colors=packed(colors))
    if change is not None:
        content['change'] = dict(
            values=packed(change.values), kept=packed(change.kept.astype(np.uint8)), mean=change.mean
        )
    return json.dumps(content)


def packed(values: np.ndarray) -> dict[str, Any]:
    """Returns an array as `type` (int8, int16, uint8 or float32), `shape`, and base64 of little-endian `data`."""
    data = np.ascontiguousarray(values, values.dtype.newbyteorder('<')).tobytes()
    return dict(type=values.dtype.name, shape=list(values.shape), data=base64.b64encode(data).decode())


def photo(session: Session, picture: int) -> bytes:
    """Returns an image at its own resolution, reduced to 2048 pixels on its longer side if it is larger, as JPEG.

    Raises:
        UserError: The file cannot be read any more.
    """
    subject = session.subjects[picture]
    try:
        image = subject.image if subject.original is None else subject.original()
    except (OSError, UnreadableImage) as error:
        raise UserError(f'{subject.name} cannot be read any more ({error}); restore the file.') from error
    factor = PHOTO_SIDE / max(image.shape[:2])
    if factor < 1:
        image = resize(image, tuple(max(round(side * factor), 1) for side in image.shape[:2]))
    coded = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return coded.tobytes()
