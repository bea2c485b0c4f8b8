"""COCO-format annotation files, decoded by a schema: what is wrong is named by file, record and field, before its use.

`msgspec` decodes and checks types and ranges in one pass. Fields that no schema names are passed over. A key that stands
twice in one record counts once, the last time, as for every reader of JSON; a list of records that stands twice is refused.
"""
import json
import re
from collections.abc import Hashable, Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import mmengine.fileio as fileio
from msgspec import DecodeError, Meta, Raw, Struct, ValidationError
from msgspec import json as strict_json

from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.files import check_regular

Id = Annotated[int, Meta(ge=-2**63, le=2**63 - 1)]
Side = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Name = Annotated[str, Meta(min_length=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Content = TypeVar('Content')

_LISTS = 'images', 'annotations', 'categories'
# JSON knows no such words, but Python's json and others write them.
_NOT_FINITE = re.compile(rb'-?(NaN|Infinity)')


class ListedImage(Struct, gc=False):
    """What training needs to know of an image."""

    file_name: Name


class ImageRecord(Struct, gc=False):
    """An image that is measured on; height and width in pixels."""

    id: Id
    file_name: Name
    height: Side
    width: Side


class CategoryRecord(Struct, gc=False):
    """A class."""

    id: Id
    name: str


class AnnotationRecord(Struct, gc=False):
    """An object: box x, y, width, height in pixels; the segmentation is decoded by `segmentations.py`."""

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
    """The bytes of a UTF-8 file without its byte order mark, local or at a prefix that mmengine's backends know.

    Args:
        path: File path or URI.
        what: What the file should be, for the message.

    Raises:
        MissingFile: There is no such file.
        UserError: It is no ordinary file, or it is not UTF-8: the byte is named.
    """
    if '://' not in path:
        check_regular(path, what)
    try:
        data = fileio.get(path)
    except OSError as error:
        raise MissingFile(f'{what} {shown(path, 160)} cannot be read ({error.strerror or error}); check the path.') from error
    return data.removeprefix(b'\xef\xbb\xbf')


def is_json(data: bytes) -> bool:
    """Whether a file's content is meant as JSON: its first letter opens an object or a list."""
    return data[:4096].lstrip()[:1] in (b'{', b'[')


def check_utf8(data: bytes, path: str) -> str:
    """The text of a file.

    Raises:
        UserError: It is not UTF-8; the message names the first wrong byte.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(f'{shown(path, 160)} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x} '
                        f'({error.reason}); save it as UTF-8.') from error


def read_coco(path: str, schema: type[Content]) -> Content:
    """The content of a COCO-format annotation file.

    Args:
        path: File path or URI.
        schema: `InstanceFile`, or one of the smaller ones.

    Raises:
        MissingFile: There is no such file.
        UserError: It is no JSON, or a record does not fit the schema.
    """
    return decode_coco(read_text_file(path, 'annotation file'), path, schema)


def decode_coco(data: bytes, path: str, schema: type[Content]) -> Content:
    """`read_coco` of content that was read already."""
    for key in _LISTS:
        if data.count(f'"{key}"'.encode()) > 1:
            _refuse_twice(data, path)
    try:
        return strict_json.decode(data, type=schema)
    except RecursionError:
        raise UserError(f'{shown(path, 160)}: its JSON is nested too deeply for an annotation file; name another '
                        'file.') from None
    except ValidationError as error:
        _refuse_value(data, path, str(error))
    except (DecodeError, UnicodeDecodeError) as error:
        _refuse_text(data, path, error)


def require_unique(path: str, kind: str, field: str, values: Sequence[Hashable]) -> None:
    """Refuses records of which two have the same id or name.

    Args:
        path: The file, for the message.
        kind: `images`, `annotations` or `categories`.
        field: What must be unique.
        values: Of the records, in their order.

    Raises:
        UserError: Names the first two records.
    """
    repeats = len(values) - len(set(values))
    if not repeats:
        return
    place_of: dict[Hashable, int] = {}
    for second, value in enumerate(values):
        first = place_of.setdefault(value, second)
        if first != second:
            raise UserError(f'{shown(path, 160)}: {kind}[{first}] and {kind}[{second}] have the same {field} '
                            f'{shown(value)} ({repeats} repeats in all); give each record its own. Were files joined '
                            'without renumbering?')


def _refuse_twice(data: bytes, path: str) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict:
        found = [key for key, _ in pairs if key in _LISTS]
        if len(set(found)) < len(found):
            raise UserError(f'{shown(path, 160)}: an object has two lists of one name among {", ".join(sorted(set(found)))}, '
                            'of which only one would count; join them into one list.')
        return dict(pairs)

    try:
        json.loads(data, object_pairs_hook=once)
    except UserError:
        raise
    except (ValueError, RecursionError):
        return  # the decoder has better words


def _refuse_value(data: bytes, path: str, problem: str) -> NoReturn:
    """One line of msgspec's "Expected `int`, got `str` - at `$.images[3].id`"."""
    reason, _, place = problem.partition(' - at ')
    kind, index, field = re.fullmatch(r'`?\$?\.?(\w*)(?:\[(\d+)\])?\.?(.*?)`?', place).groups()
    lacking = re.fullmatch(r'Object missing required field `(\w+)`', reason)
    what = f'has no {lacking[1]}' if lacking else _plain(reason)
    if not index:
        raise UserError(f'{shown(path, 160)} is no COCO annotation file: {kind or "it"} {what}; it needs lists named '
                        'images, annotations and categories.')
    subject = f'{field}: ' if field else '' if lacking else 'is wrong: '
    raise UserError(f'{shown(path, 160)}: {kind}[{index}]{_id_of(data, kind, int(index))} {subject}{what}; '
                    f'{_remedy(reason)}')


def _plain(reason: str) -> str:
    words = dict(str='text', int='a whole number', float='a number', array='a list', object='an object', bool='true/false',
                 null='null', Raw='a value')
    plain = re.sub(r'`(.+?)`', lambda found: ' or '.join(words.get(word, word) for word in found[1].split(' | ')), reason)
    return re.sub('^(Expected|Invalid|Number|Object)', lambda found: found[0].lower(), plain)


def _remedy(reason: str) -> str:
    if 'got `str`' in reason and ('`int`' in reason or '`float`' in reason):
        return 'write numbers without quotes (ids, too: COCO numbers its records).'
    return 'repair the record or leave it out.'


def _id_of(data: bytes, kind: str, index: int) -> str:
    try:
        record = strict_json.decode(strict_json.decode(data, type=dict[str, Raw])[kind], type=list[Raw])[index]
        identity = bytes(strict_json.decode(record, type=dict[str, Raw])['id'])
        return f' (id {shown(json.loads(identity), 40)})'
    except (DecodeError, KeyError, TypeError, IndexError, ValueError, RecursionError):
        return ''


def _refuse_text(data: bytes, path: str, error: Exception) -> NoReturn:
    check_utf8(data, path)
    found = re.search(r'\(byte (\d+)\)', str(error))
    at = int(found[1]) if found else len(data)
    if word := _NOT_FINITE.match(data, max(at - 1, 0)) or _NOT_FINITE.match(data, at):
        # As a number out of range the schema names its place, if the field counts.
        swapped = data[:word.start()] + b'1e999' + data[word.end():]
        try:
            strict_json.decode(swapped, type=InstanceFile)
        except ValidationError as better:
            if str(better).startswith('Number out of range'):
                _refuse_value(swapped, path, str(better).replace('Number out of range', f'{word[0].decode()} is no number'))
        except (DecodeError, RecursionError):
            pass
    near = data[max(at - 30, 0):at + 10].decode(errors='replace')
    raise UserError(f'{shown(path, 160)} is not valid JSON: {str(error)[:100]}, line {data.count(10, 0, at) + 1}, near '
                    f'{shown(near, 50)}; write it anew.') from None
