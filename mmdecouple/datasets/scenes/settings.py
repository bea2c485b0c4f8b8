"""Settings of the built-in scenes that a specification of the command line or a config names."""

from pathlib import Path
from typing import Any

from msgspec import DecodeError, Struct
from msgspec import json as strict_json

from mmdecouple.datasets.annotations import read_text_file
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.data_spec import DataSpec
from mmdecouple.utils.errors import UserError

from .export import MARK


class _Export(Struct):
    spec: dict[str, Any]


def scene_settings(data: DataSpec, config: dict) -> dict[str, Any]:
    """Returns the arguments of `SceneSpec`; an empty dict for the default scenes.

    Args:
        data: Data of kind `scenes`: with a config, the scenes on which it trains; with an export, its scenes.
        config: Complete config of a network, on whose training scenes data without a path are based; may be empty.

    Raises:
        MissingFile: The config or the settings of the export do not exist.
        UserError: They cannot be read.
    """
    if data.is_export:
        return _exported_settings(Path(data.path, MARK))
    config = load_config(data.path) if data.path else config
    training = (config.get('train_dataloader') or {}).get('dataset') or {}
    return dict(training.get('scenes') or {}) if training.get('type') == 'SceneImages' else {}


def _exported_settings(path: Path) -> dict[str, Any]:
    try:
        return strict_json.decode(read_text_file(str(path), 'settings of exported scenes'), type=_Export).spec
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f'{path} does not hold the settings of scenes ({error}); export the scenes again.') from error
