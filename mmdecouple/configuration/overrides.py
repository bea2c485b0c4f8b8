"""Keys that nothing reads: at the root of a config file, and of `--cfg-options`."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mmdecouple.configuration.names import WORDS, close_names, meant
from mmdecouple.configuration.values import ROOT_KEYS
from mmdecouple.utils.errors import UserError


def check_root_keys(config: Mapping[str, Any]) -> None:
    """Refuses a root key of a file that is nearly one that a run reads; others are the file's own variables."""
    for name in config:
        known = _misspelt(name) if name not in ROOT_KEYS else None
        if known:
            raise UserError(
                f'config key {name} is read by nothing; close: {known}. A variable of your own needs '
                'a name that is not so near.'
            )


def _misspelt(name: str) -> str | None:
    # A whole key with a word before or after it, and the plural of a single word, are names of their own.
    close = get_close_matches(name, [key for key in ROOT_KEYS if key[0] == name[0]], 1, 0.8)
    close = close or get_close_matches(name, ROOT_KEYS, 1, 0.9)
    if not close or f'_{close[0]}_' in f'_{name}_' or (name == f'{close[0]}s' and '_' not in name):
        return None
    return close[0]


def check_overrides(config: Mapping[str, Any], options: Mapping[str, Any], load_file: Callable[[], dict]) -> None:
    """Refuses an override that nothing reads, and names the key that is read in its place.

    Below a root key that a run reads, the checks of values and of blocks say what is unknown.

    Args:
        config: With the overrides.
        options: The overrides, by dotted keys.
        load_file: Gives the config without the overrides, as plain dicts.

    Raises:
        UserError: Its root is no key that is read: unknown, or a variable that was copied when the file was read.
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
                f'--cfg-options {key}: nothing reads {root}, a variable of the config file that was copied '
                f'when the file was read; {remedy}.'
            )
        close = close_names(root, ROOT_KEYS) if root not in WORDS else []
        instead = list(_named(config, root))[:3]
        raise UserError(f'--cfg-options {key}: no key {root} is read{meant(instead or close)}.')


def _named(config: Mapping[str, Any], name: str) -> Iterator[str]:
    """Keys that are read and end in a name, or in what stands for it."""
    wanted = (name, *WORDS.get(name.lower(), ()))
    for key, _ in _nodes({root: value for root, value in config.items() if root in ROOT_KEYS}):
        if key.rpartition('.')[2] in wanted:
            yield key


def _copies(config: Mapping[str, Any], path: list[str]) -> Iterator[str]:
    """Keys that are read and were given the value of a variable, or of a part of it."""
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
