"""Reading of image files, with checks for damaged and unusual files."""

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

MAX_PIXELS = 178_956_970  # Pillow's limit for decompression bombs
MAX_BYTES = 2**30
# Formats of photographs. EPS is excluded because its reader starts a program, as are other documents.
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
# Messages of libjpeg for which pixels are made up. Its other messages, mostly of stray bytes, are harmless.
_BROKEN_JPEG = 'premature end of data segment', 'bad Huffman code', 'bad arithmetic code', 'instead of RST'
_EXIF_ORIENTATION = 0x0112


class UnreadableImage(UserError):
    """A file that does not contain a complete image."""


def read_image(path: str, backend_args: dict | None = None, upright: bool = True) -> np.ndarray:
    """Reads an image file as RGB.

    Gray and palette images are converted to RGB, an alpha channel is dropped, 16-bit values are reduced to their high
    byte, CMYK is converted, and the EXIF orientation is applied, as in an image viewer.

    Truncated files are rejected, also if an end marker was appended, and so are JPEG files with invalid codes or
    restart markers out of order. Other changes in the middle of a JPEG file can result in valid codes, which the format
    cannot detect; PNG files have checksums.

    Args:
        path: File path, or URI supported by mmengine's file backends.
        backend_args: Arguments of the file backend.
        upright: Whether to apply the EXIF orientation; labels refer to the stored pixels.

    Returns:
        RGB pixels, uint8 `(H, W, 3)`.

    Raises:
        UnreadableImage: The file is missing, empty, truncated, not an image, not an ordinary file, or larger than
            `MAX_PIXELS` or `MAX_BYTES`.
    """
    return decode_image(read_content(path, backend_args), upright)


def read_stored(path: str) -> Image.Image:
    """Returns the Pillow image of a file as it is stored, without conversion of palette or orientation, for label maps.

    Raises:
        UnreadableImage: See `read_image`.
    """
    return _load(read_content(path))


def open_header(path: str) -> Image.Image:
    """Returns the Pillow image of a local file with size and metadata only; the caller must close it.

    Raises:
        UnreadableImage: See `read_image`.
    """
    try:
        _check_file(path)
        return _open(path)
    except UnreadableImage:
        raise
    except Exception as error:  # as in _load
        raise UnreadableImage(f'{type(error).__name__}: {error}') from error


def decode_image(data: bytes, upright: bool = True) -> np.ndarray:
    """Decodes the content of an image file; see `read_image`."""
    if not data:
        raise UnreadableImage('the file is empty')
    if data.startswith(_JPEG[0]):
        pixels = _decode_jpeg(data)
        if pixels is not None:
            return _turned(pixels, _orientation(data)) if upright else pixels
    # OpenCV decodes fast but fills the missing rows of some truncated files with gray: it decodes only files with the
    # end marker of their format; Pillow checks the others.
    tail = data[-64:].rstrip(b'\0\r\n')
    if not any(data.startswith(start) and tail.endswith(end) for start, end in (_JPEG, _PNG)):
        pixels = _decode_strictly(data, upright)
        if pixels is not None:
            return pixels
    pixels = _decode_fast(data, upright)
    if pixels is None:
        pixels = _decode_strictly(data, upright)
    if pixels is None:
        raise UnreadableImage('no decoder can read it')
    return pixels


@cache
def readable_endings() -> frozenset[str]:
    """Returns the lower-case file extensions of all formats that `read_image` supports, such as `.jpg`."""
    kinds = *readable_formats(), 'MPO'  # several JPEGs in one file, of which the first is read
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in kinds}
    return frozenset(endings - {'.pfm'})  # floats without a defined range


@cache
def readable_formats() -> tuple[str, ...]:
    """Returns Pillow's names of the formats that are accepted from untrusted files."""
    Image.init()
    return tuple(kind for kind in _FORMATS if kind in Image.OPEN)


def read_content(path: str, backend_args: dict | None = None) -> bytes:
    """Returns the bytes of an image file, without decoding them; arguments and errors as for `read_image`."""
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
        raise UnreadableImage(f'the file name is invalid ({error})') from error
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage('it is a folder, fifo, socket or device, not an ordinary file')
    if status.st_size > MAX_BYTES:
        raise UnreadableImage(f'the file has {status.st_size} bytes, more than {MAX_BYTES}')


def _check_pixels(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise UnreadableImage(f'{width} x {height} pixels are more than {MAX_PIXELS}')


def _decode_jpeg(data: bytes) -> np.ndarray | None:
    """Decodes with libjpeg-turbo; returns None for unusual files that may nevertheless be complete."""
    try:
        _check_pixels(*simplejpeg.decode_jpeg_header(data)[:2])
        return simplejpeg.decode_jpeg(data, strict=True)
    except UnreadableImage:
        raise
    except ValueError as error:
        if any(message in str(error) for message in _BROKEN_JPEG):
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
    """Decodes with Pillow; returns None for complete images of more than 8 bits, whose values it would clip."""
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
    # For malicious files, decoders raise many kinds of errors (SyntaxError, struct.error, OverflowError).
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
    except Exception:  # as in _load; viewers ignore an invalid orientation
        return 1


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):
        pixels = cv2.transpose(pixels)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else cv2.flip(pixels, flip)
