"""Image files as they are found in the wild, read to RGB or refused."""

import io
import os
import stat
from functools import cache

import cv2
import numpy as np
import simplejpeg
from mmengine.fileio import get
from PIL import Image, ImageOps

from mmdecouple.utils.errors import UserError

MAX_PIXELS = 178_956_970  # what Pillow takes for a decompression bomb, too
MAX_BYTES = 2**30
# Photographs and the like. Not EPS, whose reader starts a program, nor other documents.
_FORMATS = (
    'JPEG',
    'PNG',
    'WEBP',
    'BMP',
    'TIFF',
    'GIF',
    'AVIF',
    'DIB',
    'HEIF',
    'JPEG2000',
    'PCX',
    'PPM',
    'QOI',
    'SGI',
    'TGA',
)
_JPEG = b'\xff\xd8\xff', b'\xff\xd9'
_PNG = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'
_WIDE_MODES = {'I', 'F', 'I;16', 'I;16B', 'I;16L'}
# What libjpeg says where pixels are invented; of its other remarks, stray bytes between segments are the most frequent.
_BROKEN_JPEG = 'premature end of data segment', 'bad Huffman code', 'bad arithmetic code', 'instead of RST'
_EXIF_ORIENTATION = 0x0112


class UnreadableImage(UserError):
    """A file that holds no complete image."""


def read_image(path: str, backend_args: dict | None = None, upright: bool = True) -> np.ndarray:
    """Reads an image file to (H, W, 3) uint8 RGB.

    Gray and palette images become RGB, an alpha channel is dropped, 16-bit values keep their high
    byte, CMYK is converted, and the EXIF orientation is applied: the image stands as a viewer
    shows it.

    A file whose end is missing is refused, also where an end mark was appended, and so is a JPEG in which the decoder
    meets a code that does not exist or a restart mark out of turn. Bytes changed in the middle of a JPEG can make
    other, valid codes: nothing in the format tells that the picture is not the one that was written. PNG has checksums.

    Args:
        path: File path or URI that mmengine's file backends know.
        backend_args: Arguments of the file backend.
        upright: Whether to apply the EXIF orientation; labels are drawn on the stored pixels.

    Returns:
        Pixels (H, W, 3), uint8, RGB.

    Raises:
        UnreadableImage: If the file is missing, truncated, empty, no image, no ordinary file, or larger than
            `MAX_PIXELS` or `MAX_BYTES`.
    """
    return decode_image(_read(path, backend_args), upright)


def read_stored(path: str) -> Image.Image:
    """Pillow's image of a file as it is stored, palette and orientation untouched: for label maps.

    Raises:
        UnreadableImage: See ``read_image``.
    """
    return _load(_read(path, None))


def open_header(path: str) -> Image.Image:
    """Pillow's image of a local file, of which only size and metadata have been read; close it after use.

    Raises:
        UnreadableImage: See ``read_image``.
    """
    try:
        _check_file(path)
        return _open(path)
    except UnreadableImage:
        raise
    except Exception as error:  # as in _load
        raise UnreadableImage(f'{type(error).__name__}: {error}') from error


def decode_image(data: bytes, upright: bool = True) -> np.ndarray:
    """Decodes the bytes of an image file; see ``read_image``."""
    if not data:
        raise UnreadableImage('the file is empty')
    if data.startswith(_JPEG[0]):
        pixels = _decode_jpeg(data)
        if pixels is not None:
            return _turned(pixels, _orientation(data)) if upright else pixels
    # OpenCV is a fast decoder but fills the missing rows of some truncated files with gray: only files with the end
    # mark of their format are its own, Pillow checks the others.
    tail = data[-64:].rstrip(b'\0\r\n')
    if not any(data.startswith(start) and tail.endswith(end) for start, end in (_JPEG, _PNG)):
        pixels = _decode_strictly(data, upright)
        if pixels is not None:
            return pixels
    pixels = _decode_fast(data, upright)
    if pixels is None:
        pixels = _decode_strictly(data, upright)
    if pixels is None:
        raise UnreadableImage('no decoder reads it')
    return pixels


@cache
def readable_endings() -> frozenset[str]:
    """Endings of the file names of all formats that ``read_image`` takes, such as ``.jpg``, in lower case."""
    kinds = *readable_formats(), 'MPO'  # several JPEGs in one file, opened as the first
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in kinds}
    return frozenset(endings - {'.pfm'})  # floats without a range


@cache
def readable_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that a file from a stranger may have."""
    Image.init()
    return tuple(kind for kind in _FORMATS if kind in Image.OPEN)


def _read(path: str, backend_args: dict | None) -> bytes:
    try:
        if not backend_args and '://' not in path:
            _check_file(path)
        return get(path, backend_args=backend_args)
    except OSError as error:
        raise UnreadableImage(f'{type(error).__name__}: {error.strerror or error}') from error


def _check_file(path: str) -> None:
    try:
        status = os.stat(path)
    except ValueError as error:  # a NUL in the name
        raise UnreadableImage(f'no file can have this name ({error})') from error
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage('it is a folder, fifo, socket or device, not an ordinary file')
    if status.st_size > MAX_BYTES:
        raise UnreadableImage(f'the file has {status.st_size} bytes, more than an image')


def _check_pixels(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise UnreadableImage(f'{width} x {height} pixels are more than {MAX_PIXELS}')


def _decode_jpeg(data: bytes) -> np.ndarray | None:
    """libjpeg-turbo's pixels; None for files that are odd, but perhaps whole."""
    try:
        _check_pixels(*simplejpeg.decode_jpeg_header(data)[:2])
        return simplejpeg.decode_jpeg(data, strict=True)
    except UnreadableImage:
        raise
    except ValueError as error:
        if any(words in str(error) for words in _BROKEN_JPEG):
            raise UnreadableImage(str(error)) from error
        return None


def _decode_fast(data: bytes, upright: bool) -> np.ndarray | None:
    if data.startswith(_PNG[0]):
        _check_pixels(*(int.from_bytes(data[start : start + 4], 'big') for start in (20, 16)))
    flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return pixels if pixels is not None and pixels.dtype == np.uint8 and pixels.ndim == 3 else None


def _decode_strictly(data: bytes, upright: bool) -> np.ndarray | None:
    """Pillow's pixels; None for complete images whose values it would clip (wider than 8 bit)."""
    image = _load(data)
    if image.mode in _WIDE_MODES:
        return None
    try:
        return np.array((ImageOps.exif_transpose(image) if upright else image).convert('RGB'))
    except Exception as error:  # as in _load
        raise UnreadableImage(f'{type(error).__name__}: {error}') from error


def _load(data: bytes) -> Image.Image:
    try:
        image = _open(io.BytesIO(data))
        image.load()
        return image
    # Decoders of hostile files raise nearly anything (SyntaxError, struct.error, OverflowError).
    except Exception as error:
        reason = str(error).partition('<')[0].strip() or type(error).__name__
        raise UnreadableImage(reason) from error


def _open(file: str | io.BytesIO) -> Image.Image:
    image = Image.open(file, formats=readable_formats())
    _check_pixels(image.height, image.width)
    return image


def _orientation(data: bytes) -> int:
    start = data.find(b'Exif\0\0', 0, 2**16)
    if start < 2:
        return 1
    exif = Image.Exif()
    try:
        exif.load(data[start : start - 2 + int.from_bytes(data[start - 2 : start], 'big')])
        return exif.get(_EXIF_ORIENTATION, 1)
    except Exception:  # as in _load; viewers show such an image as it is stored
        return 1


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):
        pixels = cv2.transpose(pixels)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else cv2.flip(pixels, flip)
