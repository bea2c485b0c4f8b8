"""What is said of an annotation file that cannot be used: one line with file, record, id, field and remedy."""

import json
import re
from typing import Any, NoReturn

from msgspec import DecodeError, Raw, ValidationError
from msgspec import json as strict_json

from mmdecouple.utils.errors import UserError, shown

LISTS = 'images', 'annotations', 'categories'
# JSON knows no such words, but Python's json and others write them.
_NOT_FINITE = re.compile(rb'-?(NaN|Infinity)')


def check_utf8(data: bytes, path: str) -> str:
    """The text of a file.

    Raises:
        UserError: It is not UTF-8; the message names the first wrong byte.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f'{shown(path, 160)} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x} '
            f'({error.reason}); save it as UTF-8.'
        ) from error


def refuse_twice(data: bytes, path: str) -> None:
    """Refuses an object that has one of `LISTS` twice; a word inside a text is none."""

    def once(pairs: list[tuple[str, Any]]) -> dict:
        found = [key for key, _ in pairs if key in LISTS]
        if len(set(found)) < len(found):
            raise UserError(
                f'{shown(path, 160)}: an object has two lists of one name among '
                f'{", ".join(sorted(set(found)))}, of which only one would count; join them into one list.'
            )
        return dict(pairs)

    try:
        json.loads(data, object_pairs_hook=once)
    except UserError:
        raise
    except (ValueError, RecursionError):
        return  # the decoder has better words


def refuse_value(data: bytes, path: str, problem: str) -> NoReturn:
    """One line of msgspec's "Expected `int`, got `str` - at `$.images[3].id`"."""
    reason, _, place = problem.partition(' - at ')
    kind, index, field = re.fullmatch(r'`?\$?\.?(\w*)(?:\[(\d+)\])?\.?(.*?)`?', place).groups()
    lacking = re.fullmatch(r'Object missing required field `(\w+)`', reason)
    what = f'has no {lacking[1]}' if lacking else _plain(reason)
    if not index:
        raise UserError(
            f'{shown(path, 160)} is no COCO annotation file: {kind or "it"} {what}; it needs lists named '
            'images, annotations and categories.'
        )
    subject = f'{field}: ' if field else '' if lacking else 'is wrong: '
    raise UserError(
        f'{shown(path, 160)}: {kind}[{index}]{_id_of(data, kind, int(index))} {subject}{what}; {_remedy(reason)}'
    )


def _plain(reason: str) -> str:
    words = dict(
        str='text', int='a whole number', float='a number', array='a list', object='an object', bool='true/false'
    )
    types = re.compile(r'`(.+?)`')
    plain = types.sub(lambda found: ' or '.join(words.get(word, word) for word in found[1].split(' | ')), reason)
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


def refuse_text(data: bytes, path: str, error: Exception, schema: type) -> NoReturn:
    """One line of a file that is no JSON: not UTF-8, cut off, or with numbers that JSON does not know."""
    check_utf8(data, path)
    found = re.search(r'\(byte (\d+)\)', str(error))
    at = int(found[1]) if found else len(data)
    if word := _NOT_FINITE.match(data, max(at - 1, 0)) or _NOT_FINITE.match(data, at):
        # As a number out of range the schema names its place, if the field counts.
        swapped = data[: word.start()] + b'1e999' + data[word.end() :]
        try:
            strict_json.decode(swapped, type=schema)
        except ValidationError as better:
            if str(better).startswith('Number out of range'):
                said = f'{word[0].decode()} is no number'
                refuse_value(swapped, path, str(better).replace('Number out of range', said))
        except (DecodeError, RecursionError):
            pass
    near = data[max(at - 30, 0) : at + 10].decode(errors='replace')
    raise UserError(
        f'{shown(path, 160)} is not valid JSON: {str(error)[:100]}, line {data.count(10, 0, at) + 1}, near '
        f'{shown(near, 50)}; write it anew.'
    ) from None
