"""Config of a row: its base config with overrides, each of which must fit an existing key."""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from difflib import get_close_matches
from functools import cache
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry

from mmdecouple import registry
from mmdecouple.masks import MASKS
from mmdecouple.utils.configs import configs_folder, load_config
from mmdecouple.utils.errors import UserError

from .table import Row, Table

_DELETE = '_delete_'
_ANY = '**'


def check_scale(table: Table, scale: str) -> None:
    """Raises a `UserError` if no row of a table has a base for a scale."""
    if not any(scale in row.bases for row in table.rows):
        scales = sorted({scale for row in table.rows for scale in row.bases})
        raise UserError(f'Table {table.name} has no base for the scale {scale}; choose from {", ".join(scales)}.')


def resolve(row: Row, setting: str, scale: str, more: Mapping[str, Any] | None = None) -> Config:
    """Returns the config of a row, its base with all overrides.

    Args:
        row: Row of a table.
        setting: One of its settings.
        scale: `full` or `demo`, for which the row has a base.
        more: Additional overrides, which take precedence over those of the row.

    Raises:
        UserError: An override names a key that neither the config nor the class of the block has.
    """
    base = row.bases[scale]
    config = deepcopy(_base_config(str(configs_folder() / base)))
    options = {**row.options[setting, scale], **(more or {})}
    for path in row.after.values():
        _check(config._cfg_dict, path, None, f'{row.label}: after: {path}', base)
    for path, value in options.items():
        _check(config._cfg_dict, path, value, f'{row.label}: {path}', base)
        try:
            # Merging removes the keys `_delete_` from the value.
            config.merge_from_dict({path: deepcopy(value)})
        except (KeyError, TypeError, AttributeError, AssertionError) as error:
            raise UserError(f'{row.label}: {path}: {value!r} does not fit {base}: {error}') from error
    return config


@cache
def _base_config(path: str) -> Config:
    return load_config(path)


def _check(config: ConfigDict, path: str, value: Any, where: str, base: str) -> None:
    node, done = config, []
    parts = path.split('.')
    for place, part in enumerate(parts):
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise UserError(
                    f'{where}: {".".join(done)} is a list of {len(node)} in {base}; '
                    f'use a position below {len(node)} instead of {part!r}.'
                )
            node = node[int(part)]
        elif isinstance(node, dict):
            last = place == len(parts) - 1
            if part not in node and not (last and _takes(node.get('type'), part)):
                raise UserError(f'{where}: {base} has no {".".join([*done, part])}{_near(part, node)}.')
            node = node.get(part)
        else:
            raise UserError(f'{where}: {".".join(done)} is {node!r} in {base} and has no keys below it.')
        done.append(part)
    _check_value(node, value, where, base)


def _check_value(node: Any, value: Any, where: str, base: str) -> None:
    """Checks that a mapping that replaces or extends a config block holds only parameters of its class."""
    if not isinstance(value, dict):
        return
    inherited = {} if value.get(_DELETE) or not isinstance(node, dict) else node
    kind = value.get('type', inherited.get('type'))
    known = {**inherited, **dict.fromkeys(_parameters(kind))}
    if kind is None and not inherited:
        return
    for key, part in value.items():
        if key in ('type', _DELETE):
            continue
        if key not in known and _ANY not in known:
            raise UserError(f'{where}: {kind or base} takes no {key}{_near(key, known)}.')
        _check_value(inherited.get(key), part, f'{where}.{key}', base)


def _takes(kind: Any, key: str) -> bool:
    return not {key, _ANY}.isdisjoint(_parameters(kind))


@cache
def _parameters(kind: Any) -> tuple[str, ...]:
    """Returns the parameters of the class or function of a config `type`; `**` stands for any name."""
    if kind is None:
        return ()
    found = _find(kind) if isinstance(kind, str) else kind
    if found is None:
        raise UserError(f'The type {kind!r} is not registered; check its spelling, or import its module.')
    names: dict[str, None] = {}
    layers = [layer for layer in inspect.getmro(found) if '__init__' in vars(layer)] if inspect.isclass(found) else []
    for layer in [vars(layer)['__init__'] for layer in layers if layer is not object] or [found]:
        parameters = inspect.signature(layer).parameters.values()
        names.update(dict.fromkeys(p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return tuple(names)
    return (*names, _ANY)


def _find(kind: str) -> Any:
    if kind in MASKS:
        return MASKS[kind]
    for known in vars(registry).values():
        if isinstance(known, Registry) and (found := known.get(kind)) is not None:
            return found
    return None


def _near(name: str, known: Any) -> str:
    close = get_close_matches(name, [key for key in known if isinstance(key, str)], n=3, cutoff=0.6)
    return f'; close names: {", ".join(close)}' if close else ''
