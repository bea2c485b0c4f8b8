"""Check for unused keys, at the root of a config file and in `--cfg-options`."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mmdecouple.configuration.names import SYNONYMS, close_names, suggestion
from mmdecouple.configuration.values import ROOT_KEYS
from mmdecouple.utils.errors import UserError


def check_root_keys(config: Mapping[str, Any]) -> None:
    """Raises an error for root keys that are probably misspelled; other unknown root keys are variables of the file.

    Args:
        config: Config as a plain dict.

    Raises:
        UserError: A root key is close to one that a run reads.
    """
    for name in config:
        known = _misspelt(name) if name not in ROOT_KEYS else None
        if known:
            raise UserError(
                f'config key {name} is not used; close: {known}. If it is a variable of your own, choose a name that '
                'is less similar.'
            )


def _misspelt(name: str) -> str | None:
    # A key with a prefix or suffix, and the plural of a single word, are names of variables.
    close = get_close_matches(name, [key for key in ROOT_KEYS if key[0] == name[0]], 1, 0.8)
    close = close or get_close_matches(name, ROOT_KEYS, 1, 0.9)
    if not close or f'_{close[0]}_' in f'_{name}_' or (name == f'{close[0]}s' and '_' not in name):
        return None
    return close[0]


def check_overrides(config: Mapping[str, Any], options: Mapping[str, Any], load_file: Callable[[], dict]) -> None:
    """Raises an error for overrides that are not used, and names the key to override instead.

    Overrides below a root key that a run reads are covered by the checks of values and blocks.

    Args:
        config: Config with the overrides applied, as a plain dict.
        options: Overrides by dotted keys.
        load_file: Returns the config without the overrides, as a plain dict.

    Raises:
        UserError: The root of an override is unknown, or a variable that was copied when the file was read.
    """
    for key in options:
        root = key.partition('.')[0]
        if root in ROOT_KEYS:
            continue
        before = load_file()
        if root in before:
            instead = list(_copies(before, key.split('.')))[:2] or list(_named(before, key.rpartition('.')[2]))[:2]
            remedy = f'override {" and ".join(instead)}' if instead else 'override the key that it was copied to'
            raise UserError(
                f'--cfg-options {key} has no effect: {root} is a variable of the config file that was copied when the '
                f'file was read; {remedy}.'
            )
        close = close_names(root, ROOT_KEYS) if root not in SYNONYMS else []
        instead = list(_named(config, root))[:3]
        raise UserError(f'--cfg-options {key}: the key {root} is not used{suggestion(instead or close)}.')


def _named(config: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yields used keys whose last part is a name or one of its synonyms."""
    names = (name, *SYNONYMS.get(name.lower(), ()))
    for key, _ in _nodes({root: value for root, value in config.items() if root in ROOT_KEYS}):
        if key.rpartition('.')[2] in names:
            yield key


def _copies(config: Mapping[str, Any], path: list[str]) -> Iterator[str]:
    """Yields used keys that have the value of a variable, or of a part of it."""
    read = list(_nodes({root: value for root, value in config.items() if root in ROOT_KEYS}))
    for length in range(len(path), 0, -1):
        value: Any = config
        try:
            for part in path[:length]:
                value = value[int(part)] if isinstance(value, list | tuple) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            continue
        if isinstance(value, dict | list | tuple | str) and value:
            found = ['.'.join([key, *path[length:]]) for key, other in read if other == value]
            if found:
                yield from found
                return


def _nodes(value: Any, key: str = '') -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, item in items:
        yield f'{key}{name}', item
        yield from _nodes(item, f'{key}{name}.')
