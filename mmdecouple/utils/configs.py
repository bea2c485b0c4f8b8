"""Loading of configs whose bases live in other packages (`_base_ = 'mmseg::...'`)."""
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from mmdecouple.utils.errors import MissingFile, UserError

SCOPE = 'mmdecouple'
_ROOT = Path(__file__).resolve().parents[2]


def configs_folder() -> Path:
    """Folder of our configs: beside the package in a wheel, at the root in a checkout."""
    installed = _ROOT / '_mmdecouple' / '.mim' / 'configs'
    return installed if installed.is_dir() else _ROOT / 'configs'


def _own_config(path: str) -> str:
    folder = configs_folder()
    name = path if path.endswith('.py') else f'{path}.py'
    if (folder / name).is_file():
        return str(folder / name)
    known = sorted(str(file.relative_to(folder)) for file in folder.rglob('*.py'))
    close = get_close_matches(name, known, n=3, cutoff=0.4)
    raise MissingFile(
        f'{SCOPE}::{path} is no config of this package'
        + (f'; close names: {", ".join(close)}.' if close else f' (looked in {folder}).'))


def register_config_scopes() -> None:
    """Makes `mmdecouple::`, `mmseg::` (and, as before, `mmdet::`, `mmpretrain::`) bases resolve.

    mmengine keeps a closed table of packages whose configs may be inherited. It lacks this package,
    and it maps `mmseg` to a distribution name of the original family only. Bases are read before
    `custom_imports`, so a tool calls this before `Config.fromfile`. The own scope is answered here,
    because mmengine looks for a `.mim` folder inside the package, which a checkout must not have:
    `mim` would then find every config twice.
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
        options: Overrides with dotted keys, as `--cfg-options` gives them.

    Raises:
        FileNotFoundError: The file, or one of its bases, does not exist.
        ValueError: The file cannot be read as a config, or an override does not fit it.
    """
    register_config_scopes()
    scope, separator, own = path.partition('::')
    if separator and scope == SCOPE:
        path = _own_config(own)
    if not Path(path).is_file():
        raise MissingFile(
            f'config {path} does not exist; give a file, or {SCOPE}::folder/file.py of ours.')
    try:
        config = Config.fromfile(path)
    except FileNotFoundError as error:
        raise MissingFile(f'config {path} inherits a missing file: {error}') from error
    except Exception as error:
        # A config is a program: it can fail in any way.
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise UserError(f'config {path} cannot be read: {reason}') from error
    merge_options(config, options or {}, path)
    return config


def merge_options(config: Config, options: dict, path: str) -> None:
    """Applies overrides.

    Args:
        config: Changed in place.
        options: Overrides with dotted keys, as `--cfg-options` gives them.
        path: What to call the config in messages.

    Raises:
        ValueError: One does not fit the config.
    """
    try:
        config.merge_from_dict(options)
    except (KeyError, TypeError, AssertionError) as error:
        raise UserError(f'--cfg-options {options} does not fit {path}: {error}') from error
