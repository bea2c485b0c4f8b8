"""Configs stored in checkpoints: read as plain values, and restricted to types that networks of this package use."""

import ast
import math
import os.path as osp
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmdecouple.utils.errors import UserError, shown

from .stored_types import DATA_TYPES, FFN, INITIALIZERS, NETWORK_TYPES

# Sections of a stored config that are read; the others concern training.
_PROBES = ('ProbeDataset', 'mmdecouple.ProbeDataset')
_SECTIONS = ('model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'custom_hooks', 'train_cfg')
# Keys of files that only the start of a training reads; they are not opened for an untrusted file.
_FILES = (('backbone', 'weights'), ('teacher', 'checkpoint'))
# Training settings that earlier versions had in the model config, by its type; no network depends on them.
_FORMER = {'DenseCL': ('match_rank',), 'IBOT': ('freeze_last_layer', 'target_rank')}
_WORD = re.compile(r'[\w+-]*')
_LONGEST, _LARGEST, _DEEPEST = 1 << 20, 10**6, 30


def read_stored_config(text: str, where: str, name: str | None = None, trusted: bool = False) -> Config:
    """Reads a stored config as plain values, without running code in it or opening files that it names.

    Args:
        text: Python source of assignments, as mmengine stores it under `meta.cfg` and dumps it.
        where: Name of the file in messages.
        name: Name of the config, for reports.
        trusted: Whether to execute its `custom_imports` and to accept any type.

    Returns:
        Config with model, data sets and probes only, in which every `type` is known to be harmless; its `text` is the
        complete source. Training data of other types are omitted, as measuring does not use them.

    Raises:
        UserError: The config holds more than plain values, no model, or a value that no network or data set of this
            package has.
    """
    remedy = 'name its config (CONFIG.py=FILE)'
    try:
        found = plain_values(text, (*_SECTIONS, 'custom_imports'))
    except ValueError as error:
        raise UserError(
            f'{where}: the config stored in it holds more than plain values ({shown(str(error))}); {remedy}.'
        ) from error
    if not isinstance(found.get('model'), dict):
        raise UserError(f'{where}: the config stored in it has no model; {remedy}.')
    imports = found.pop('custom_imports', None)
    if imports and not trusted:
        named = imports.get('imports', imports) if isinstance(imports, dict) else imports
        raise UserError(
            f'{where}: its config imports {shown(named)}, code that is not run for an untrusted file; '
            f'{remedy}, or trust the file (--allow-pickle).'
        )
    if imports:
        try:
            import_modules_from_strings(**imports)
        except (ImportError, TypeError) as error:
            raise UserError(
                f'{where}: the imports of its config fail ({shown(str(error))}); add the module to '
                f'PYTHONPATH, or {remedy}.'
            ) from error
    values = _needed(found)
    if not trusted:
        training = dict(train_dataloader=values.pop('train_dataloader', {}))
        with suppress(_Refused):
            _check(training)
            values |= training
        try:
            _check(values)
        except _Refused as error:
            raise UserError(f'{where}: its stored config is not used, because {error}; {remedy}.') from error
    return Config(values, cfg_text=text, filename=name)


def plain_values(text: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Returns some assignments of a config as plain values, unchecked: for comparing, not for building.

    Args:
        text: Python source of assignments.
        names: Names to read; those without an assignment are omitted.

    Raises:
        ValueError: The assignments hold more than plain values, or the text is not Python source.
    """
    if len(text) > _LONGEST:
        raise ValueError(f'it is {len(text)} characters long')
    try:
        return {
            node.targets[0].id: _value(node.value)
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign) and node.targets[0].id in names
        }
    except (SyntaxError, AttributeError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error


def starting_file(config: Config) -> str | None:
    """Returns the weight file from which the backbone of a stored config was trained, if any; it is never opened."""
    return config.get('started_from')


class _Refused(Exception):
    """A stored config has an entry that this package never writes; the message is the end of a sentence."""


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict' and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    return ast.literal_eval(node)


def _needed(found: dict[str, Any]) -> dict[str, Any]:
    """Returns the parts of a config that tools build, without files that only training reads."""
    values: dict[str, Any] = {'model': found['model']}
    for key in _FORMER.get(str(found['model'].get('type')).rpartition('.')[2], ()):
        found['model'].pop(key, None)
    for part, key in _FILES:
        inner = found['model'].get(part)
        if isinstance(inner, dict) and inner.get(key) is not None:
            if key == 'weights':
                values['started_from'] = str(inner[key])
            inner[key] = None
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        data = found[key].get('dataset') if isinstance(found.get(key), dict) else None
        if isinstance(data, dict) and (key == 'train_dataloader' or data.get('type') in _PROBES):
            values[key] = dict(dataset=data)
    hooks = found.get('custom_hooks')
    probes = [
        hook['probe']
        for hook in (hooks if isinstance(hooks, (list, tuple)) else ())
        if isinstance(hook, dict) and isinstance(hook.get('probe'), dict)
    ]
    values['custom_hooks'] = [dict(probe=probe) for probe in probes]
    for probe in (*probes, *(values[key]['dataset'] for key in ('val_dataloader', 'test_dataloader') if key in values)):
        # A missing manifest would be written; without it, the same seed gives the same draws.
        if not osp.isfile(str(probe.get('manifest'))):
            probe.pop('manifest', None)
    train = found.get('train_cfg')
    values['train_cfg'] = {
        key: value
        for key, value in (train if isinstance(train, dict) else {}).items()
        if key == 'max_epochs' and isinstance(value, int)
    }
    return values


def _check(values: dict[str, Any]) -> None:
    for key, part in values.items():
        network = key == 'model'
        for place, kind, value in _places(key, part):
            if kind == 'type' and '.init_cfg' in place:
                if value not in INITIALIZERS:
                    raise _Refused(f'{place}={shown(value)} could read any file')
            elif kind == 'type':
                if not isinstance(value, str) or value not in (NETWORK_TYPES if network else DATA_TYPES):
                    raise _Refused(f'{place}={shown(value)} is not among the types that it may build')
            elif kind == '_scope_' and value == 'mmdecouple':
                # Set by mmengine if a config of a user inherits one of this package.
                continue
            elif not isinstance(kind, (str, int)) or str(kind).startswith('_'):
                raise _Refused(f'{place} is not a setting')
            elif (kind == 'pretrained' and value is not None) or (kind == 'init_cfg' and isinstance(value, str)):
                raise _Refused(f'{place}={shown(value)} could read any file')
            elif (
                isinstance(value, str)
                and network
                and (_WORD.fullmatch(value) is None or (str(kind).endswith('_type') and value not in FFN))
            ):
                raise _Refused(f'{place}={shown(value)} is not a value of a setting')
            elif isinstance(value, (int, float)) and not (math.isfinite(value) and abs(value) <= _LARGEST):
                raise _Refused(f'{place}={shown(value)} is out of range')
            elif not isinstance(value, (dict, list, tuple, str, int, float, type(None))):
                raise _Refused(f'{place} is a {type(value).__name__}')


def _places(place: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any, Any]]:
    """Yields dotted path, last key and value of all entries at every depth."""
    if depth > _DEEPEST:
        raise _Refused(f'{place[:40]}... is too deep')
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in inner:
        yield f'{place}.{key}', key, item
        yield from _places(f'{place}.{key}', item, depth + 1)
