"""Loading of configs, also with bases in other packages (`_base_ = 'mmseg::...'`)."""

import os
from collections.abc import Iterable
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.files import check_regular

SCOPE = 'mmdecouple'
_MISFITS = (KeyError, IndexError, ValueError, TypeError, AssertionError, AttributeError)
_OF_WORKERS = ('persistent_workers', 'prefetch_factor', 'multiprocessing_context')
_PACKAGE = Path(__file__).resolve().parents[1]


def configs_folder() -> Path:
    """Returns the folder of the shipped configs: in the package, or at the root of an unpacked source archive."""
    installed = (_PACKAGE / '.mim' / 'configs').resolve()
    return installed if installed.is_dir() else _PACKAGE.parent / 'configs'


def _own_config(path: str) -> str:
    folder = configs_folder()
    name = path if path.endswith('.py') else f'{path}.py'
    if (folder / name).is_file():
        return str(folder / name)
    close = _close_names(name, (str(file.relative_to(folder)) for file in folder.rglob('*.py')))
    raise MissingFile(f'{SCOPE}::{path} is not a config of this package{close or f" (looked in {folder})."}')


def _close_names(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(known), n=3, cutoff=0.4)
    return f'; close names: {", ".join(close)}.' if close else ''


def register_config_scopes() -> None:
    """Registers the config scopes `mmdecouple::` and `mmseg::`, in addition to `mmdet::` and `mmpretrain::`.

    mmengine has a fixed table of packages whose configs can be inherited. It lacks this package, and it maps `mmseg` to
    a distribution name of the original family only. Bases are read before `custom_imports`, so this function must be
    called before `Config.fromfile`. The scope of this package is resolved here, because mmengine asks the installed
    distribution, which a checkout on the search path of Python does not have.
    """
    MODULE2PACKAGE['mmseg'] = 'mmseg'
    if SCOPE in MODULE2PACKAGE:
        return
    MODULE2PACKAGE[SCOPE] = SCOPE
    resolve = Config._get_cfg_path

    def resolve_with_own_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        scope, separator, path = cfg_path.partition('::')
        if separator and scope == SCOPE:
            return _own_config(path), SCOPE
        return resolve(cfg_path, filename)

    Config._get_cfg_path = staticmethod(resolve_with_own_scope)


def load_config(path: str, options: dict | None = None) -> Config:
    """Reads a config file with its bases and applies overrides.

    Args:
        path: File, or `mmdecouple::folder/file.py` for a config of this package.
        options: Overrides with dotted keys, as from `--cfg-options`.

    Raises:
        MissingFile: The file, or one of its bases, does not exist.
        UserError: The file cannot be read as a config, or an override does not fit it.
    """
    # Bases and imports of a config may import mmpretrain.
    from mmdecouple.utils import beside_transformers  # noqa: F401

    register_config_scopes()
    scope, separator, own = path.partition('::')
    if separator and scope == SCOPE:
        path = _own_config(own)
    if not Path(path).exists():
        close = _close_names(Path(path).name, (file.name for file in Path(path).parent.glob('*.py')))
        raise MissingFile(
            f'config {path} does not exist{close or f"; give a file, or {SCOPE}::folder/file.py of this package."}'
        )
    check_regular(path, 'config')
    try:
        config = Config.fromfile(path)
    except FileNotFoundError as error:
        raise MissingFile(f'config {path} inherits a missing file: {error}') from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # A config is a program: it can raise any error, also SystemExit.
        raise UserError(f'config {_read_last(error, path)} cannot be read: {_reason(error)}') from error
    apply_overrides(config, options or {})
    return config


def apply_overrides(config: Config, options: dict) -> None:
    """Applies overrides to a config in place.

    Args:
        config: Config to change; it is unchanged if an override fails.
        options: Dotted key -> value.

    Raises:
        UserError: A key does not fit the config; the message names it.
    """
    try:
        config.merge_from_dict(options)
    except _MISFITS as error:
        culprit = next((key for key in options if not _fits(config, key, options[key])), next(iter(options)))
        raise UserError(
            f'--cfg-options {culprit}={shown(options[culprit])} does not fit: {_reason(error)[:120]}; '
            'check each part of the key.'
        ) from error
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if isinstance(config.get(name), dict):
            drop_worker_options(config[name])


def _fits(config: Config, key: str, value: Any) -> bool:
    try:
        deepcopy(config).merge_from_dict({key: value})
    except _MISFITS:
        return False
    return True


def drop_worker_options(loader: dict) -> None:
    """Removes the options of worker processes from the config of a data loader without workers.

    torch refuses the combination, so that `num_workers=0` alone would not be enough.
    """
    if loader.get('num_workers', 0) == 0:
        for key in _OF_WORKERS:
            loader.pop(key, None)


def _read_last(error: BaseException, path: str) -> str:
    """Returns the file in a chain of bases that mmengine was reading when it failed."""
    traceback, last = error.__traceback__, path
    while traceback is not None:
        if traceback.tb_frame.f_code.co_name == '_file2dict':
            last = traceback.tb_frame.f_locals.get('filename', last)
        traceback = traceback.tb_next
    return path if os.path.abspath(last) == os.path.abspath(path) else f'{path} (its base {last})'


def _reason(error: BaseException) -> str:
    text = ' '.join(f'{type(error).__name__}: {error}'.split()).partition(', the current sys.path is')[0]
    if isinstance(error, SystemExit):
        return 'it ends the program (SystemExit); remove that line.'
    if isinstance(error, RecursionError):
        return f'{text}; check whether its _base_ refers back to itself.'
    if isinstance(error, UnicodeDecodeError):
        return f'{text}; save it in UTF-8.'
    if isinstance(error, SyntaxError) and 'U+FEFF' in text:
        return 'it begins with a byte order mark; save it in UTF-8 without one.'
    return text
