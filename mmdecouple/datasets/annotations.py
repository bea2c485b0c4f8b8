"""COCO-format annotation files, decoded by a schema, with errors that name the file, record and field.

`msgspec` decodes the file and checks types and ranges in one pass. Fields that are not part of the schema are ignored.
Of a key that is repeated in a record, the last value is used, as in other JSON readers; a repeated list of records is
an error.
"""

from collections.abc import Hashable, Sequence
from typing import Annotated, Literal, TypeVar

import mmengine.fileio as fileio
from msgspec import DecodeError, Meta, Raw, Struct, ValidationError
from msgspec import json as strict_json

from mmdecouple.datasets.annotation_refusals import LISTS, refuse_text, refuse_twice, refuse_value
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.files import check_regular

Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Side = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Name = Annotated[str, Meta(min_length=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Content = TypeVar('Content')


class ListedImage(Struct, gc=False):
    """An image for training."""

    file_name: Name


class ImageRecord(Struct, gc=False):
    """An image for measurements; height and width are in pixels."""

    id: Id
    file_name: Name
    height: Side
    width: Side


class CategoryRecord(Struct, gc=False):
    """An object class."""

    id: Id
    name: str


class AnnotationRecord(Struct, gc=False):
    """An object with its box x, y, width, height in pixels; `segmentations.py` decodes its segmentation."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, NotNegative, NotNegative]
    area: NotNegative
    segmentation: Raw = Raw(b'[]')
    iscrowd: bool | Literal[0, 1] = 0


class ImageFile(Struct):
    """A file of which only the images are read."""

    images: list[ListedImage]


class CategoryFile(Struct):
    """A file of which only the categories are read."""

    categories: list[CategoryRecord]


class InstanceFile(Struct):
    """A file with objects."""

    images: list[ImageRecord]
    annotations: list[AnnotationRecord]
    categories: list[CategoryRecord]


def read_text_file(path: str, what: str) -> bytes:
    """Returns the content of a file without its UTF-8 byte order mark.

    Args:
        path: Local path, or URI with a prefix of mmengine's file backends.
        what: Kind of file, for the error message.

    Raises:
        MissingFile: The file does not exist or cannot be read.
        UserError: The path is not an ordinary file.
    """
    if '://' not in path:
        check_regular(path, what)
    try:
        data = fileio.get(path)
    except OSError as error:
        reason = error.strerror or error
        raise MissingFile(f'{what} {shown(path, 160)} cannot be read ({reason}); check the path.') from error
    return data.removeprefix(b'\xef\xbb\xbf')


def is_json(data: bytes) -> bool:
    """Returns whether content is JSON, by its first character, which opens an object or a list."""
    return data[:4096].lstrip()[:1] in (b'{', b'[')


def read_coco(path: str, schema: type[Content]) -> Content:
    """Reads a COCO-format annotation file.

    Args:
        path: File path or URI.
        schema: `InstanceFile`, `ImageFile` or `CategoryFile`.

    Raises:
        MissingFile: The file does not exist.
        UserError: The file is not JSON, or a record does not fit the schema.
    """
    return decode_coco(read_text_file(path, 'annotation file'), path, schema)


def decode_coco(data: bytes, path: str, schema: type[Content]) -> Content:
    """Decodes the content of a COCO-format annotation file; see `read_coco`."""
    for key in LISTS:
        if data.count(f'"{key}"'.encode()) > 1:
            refuse_twice(data, path)
    try:
        return strict_json.decode(data, type=schema)
    except RecursionError:
        raise UserError(
            f'{shown(path, 160)}: its JSON is nested too deeply for an annotation file; give another file.'
        ) from None
    except ValidationError as error:
        refuse_value(data, path, str(error))
    except (DecodeError, UnicodeDecodeError) as error:
        refuse_text(data, path, error, schema)


def read_instances(path: str) -> InstanceFile:
    """Reads the images, objects and categories of a file, and checks that their ids are unique.

    Args:
        path: File path or URI.

    Raises:
        MissingFile: The file does not exist.
        UserError: The file is invalid or lists no image, two records have the same id, or two images the same file.
    """
    content = read_coco(path, InstanceFile)
    if not content.images:
        raise UserError(f'annotation file {shown(path, 160)} lists no image (config key ann_file).')
    for kind in LISTS:
        _require_unique(path, kind, 'id', [record.id for record in getattr(content, kind)])
    _require_unique(path, 'images', 'file_name', [image.file_name for image in content.images])
    return content


def _require_unique(path: str, kind: str, field: str, values: Sequence[Hashable]) -> None:
    repeats = len(values) - len(set(values))
    if not repeats:
        return
    place_of: dict[Hashable, int] = {}
    for second, value in enumerate(values):
        first = place_of.setdefault(value, second)
        if first != second:
            raise UserError(
                f'{shown(path, 160)}: {kind}[{first}] and {kind}[{second}] have the same {field} '
                f'{shown(value)} ({repeats} repeats in total); make it unique. Files that are joined must be '
                'renumbered.'
            )
