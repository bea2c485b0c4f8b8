"""Errors of annotation files: one line with file, record, id, field and remedy."""

import json
import re
from typing import Any, NoReturn

from msgspec import DecodeError, Raw, ValidationError
from msgspec import json as strict_json

from mmdecouple.utils.errors import UserError, shown

LISTS = 'images', 'annotations', 'categories'
# Not part of JSON, but written by Python's json and other libraries.
_NOT_FINITE = re.compile(rb'-?(NaN|Infinity)')


def check_utf8(data: bytes, path: str, place: int = 0) -> str:
    """Decodes content of a file as UTF-8.

    Args:
        data: Content of the file, or a part of it.
        path: Its path, for the error message.
        place: Number of bytes in the file before `data`.

    Raises:
        UserError: The content is not UTF-8; the message names the first invalid byte.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f'{shown(path, 160)} is not UTF-8: byte {place + error.start} is 0x{data[error.start]:02x} '
            f'({error.reason}); save it as UTF-8.'
        ) from error


def refuse_twice(data: bytes, path: str) -> None:
    """Raises an error if a JSON object has one of the keys `LISTS` twice.

    Args:
        data: Content of the file.
        path: Its path, for the error message.

    Raises:
        UserError: A list is repeated.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict:
        found = [key for key, _ in pairs if key in LISTS]
        if len(set(found)) < len(found):
            raise UserError(
                f'{shown(path, 160)}: an object has two lists of the same name among {", ".join(sorted(set(found)))}, '
                'of which only one would be used; join them into one list.'
            )
        return dict(pairs)

    try:
        json.loads(data, object_pairs_hook=once)
    except UserError:
        raise
    except (ValueError, RecursionError):
        return  # the decoder has a better message


def refuse_value(data: bytes, path: str, problem: str) -> NoReturn:
    """Converts an error of msgspec, such as "Expected `int`, got `str` - at `$.images[3].id`", to one line.

    Args:
        data: Content of the file.
        path: Its path, for the error message.
        problem: Message of msgspec.

    Raises:
        UserError: Always, with the file, the record and its id, the field and the remedy.
    """
    reason, _, place = problem.partition(' - at ')
    kind, index, field = re.fullmatch(r'`?\$?\.?(\w*)(?:\[(\d+)\])?\.?(.*?)`?', place).groups()
    lacking = re.fullmatch(r'Object missing required field `(\w+)`', reason)
    what = f'has no {lacking[1]}' if lacking else _plain(reason)
    if not index:
        raise UserError(
            f'{shown(path, 160)} is not a COCO annotation file: {kind or "it"} {what}; it needs lists named images, '
            'annotations and categories.'
        )
    subject = f'{field}: ' if field else '' if lacking else 'is wrong: '
    raise UserError(
        f'{shown(path, 160)}: {kind}[{index}]{_id_of(data, kind, int(index))} {subject}{what}; {_remedy(reason)}'
    )


def _plain(reason: str) -> str:
    names = dict(
        str='text', int='a whole number', float='a number', array='a list', object='an object', bool='true/false'
    )
    types = re.compile(r'`(.+?)`')
    plain = types.sub(lambda found: ' or '.join(names.get(name, name) for name in found[1].split(' | ')), reason)
    return re.sub('^(Expected|Invalid|Number|Object)', lambda found: found[0].lower(), plain)


def _remedy(reason: str) -> str:
    if 'got `str`' in reason and ('`int`' in reason or '`float`' in reason):
        return 'write numbers without quotes (also ids, which are numbers in COCO).'
    return 'repair or remove the record.'


def _id_of(data: bytes, kind: str, index: int) -> str:
    try:
        record = strict_json.decode(strict_json.decode(data, type=dict[str, Raw])[kind], type=list[Raw])[index]
        identity = bytes(strict_json.decode(record, type=dict[str, Raw])['id'])
        return f' (id {shown(json.loads(identity), 40)})'
    except (DecodeError, KeyError, TypeError, IndexError, ValueError, RecursionError):
        return ''


def refuse_text(data: bytes, path: str, error: Exception, schema: type) -> NoReturn:
    """Converts an error of invalid JSON to one line: not UTF-8, truncated, or with numbers that are not JSON.

    Args:
        data: Content of the file.
        path: Its path, for the error message.
        error: Error of the decoder.
        schema: Schema of the file.

    Raises:
        UserError: Always, with the position and the remedy.
    """
    check_utf8(data, path)
    found = re.search(r'\(byte (\d+)\)', str(error))
    at = int(found[1]) if found else len(data)
    if token := _NOT_FINITE.match(data, max(at - 1, 0)) or _NOT_FINITE.match(data, at):
        # With a number that is out of range instead, the error names the field if the schema contains it.
        swapped = data[: token.start()] + b'1e999' + data[token.end() :]
        try:
            strict_json.decode(swapped, type=schema)
        except ValidationError as better:
            if str(better).startswith('Number out of range'):
                reason = f'{token[0].decode()} is not a number'
                refuse_value(swapped, path, str(better).replace('Number out of range', reason))
        except (DecodeError, RecursionError):
            pass
    near = data[max(at - 30, 0) : at + 10].decode(errors='replace')
    raise UserError(
        f'{shown(path, 160)} is not valid JSON: {str(error)[:100]}, line {data.count(10, 0, at) + 1}, near '
        f'{shown(near, 50)}; write the file again.'
    ) from None
