"""Image files as they are found in the wild, read to RGB or refused."""
import io

import cv2
import numpy as np
from mmengine.fileio import get
from PIL import Image, ImageOps

from mmdecouple.utils.errors import UserError

# OpenCV prints its own lines for files that UnreadableImage reports already.
cv2.setLogLevel(0)

_JPEG = b'\xff\xd8\xff', b'\xff\xd9'
_PNG = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'
_WIDE_MODES = {'I', 'F', 'I;16', 'I;16B', 'I;16L'}


class UnreadableImage(UserError):
    """A file that holds no complete image."""


def read_image(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Reads an image file to (H, W, 3) uint8 RGB.

    Gray and palette images become RGB, an alpha channel is dropped, 16-bit values keep their high
    byte, CMYK is converted, and the EXIF orientation is applied: the image stands as a viewer
    shows it.

    Args:
        path: File path or URI that mmengine's file backends know.
        backend_args: Arguments of the file backend.

    Returns:
        Pixels (H, W, 3), uint8, RGB.

    Raises:
        UnreadableImage: If the file is missing, truncated, empty or no image.
    """
    try:
        data = get(path, backend_args=backend_args)
    except OSError as error:
        raise UnreadableImage(f'{type(error).__name__}: {error.strerror or error}') from error
    return decode_image(data)


def decode_image(data: bytes) -> np.ndarray:
    """Decodes the bytes of an image file; see ``read_image``."""
    if not data:
        raise UnreadableImage('the file is empty')
    # OpenCV is the fastest decoder here but fills the missing rows of some truncated files with
    # gray: only files with the end mark of their format are its own, Pillow checks the others.
    tail = data[-64:].rstrip(b'\0\r\n')
    if not any(data.startswith(start) and tail.endswith(end) for start, end in (_JPEG, _PNG)):
        pixels = _decode_strictly(data)
        if pixels is not None:
            return pixels
    pixels = _decode_fast(data)
    if pixels is None:
        pixels = _decode_strictly(data)
    if pixels is None:
        raise UnreadableImage('no decoder reads it')
    return pixels


def _decode_fast(data: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None


def _decode_strictly(data: bytes) -> np.ndarray | None:
    """Pillow's pixels; None for complete images whose values it would clip (wider than 8 bit)."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.mode in _WIDE_MODES:
                return None
            return np.array(ImageOps.exif_transpose(image).convert('RGB'))
    # Decoders of hostile files raise nearly anything (SyntaxError, struct.error, OverflowError).
    except Exception as error:
        reason = str(error).partition('<')[0].strip() or type(error).__name__
        raise UnreadableImage(reason) from error
