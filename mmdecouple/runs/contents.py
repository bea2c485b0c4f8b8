"""Contents of a run folder: checkpoints, and the config with which each was trained."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdecouple.utils.errors import MissingFile, UserError
from mmdecouple.utils.files import check_regular
from mmdecouple.weights.checkpoint import read_checkpoint
from mmdecouple.weights.stored_configs import read_stored_config

from .resumable import find_resumable


def recorded_config(
    checkpoint: Path, content: Mapping[str, Any], trusted: bool = False, in_run: bool = False
) -> Config | None:
    """Returns the config with which a checkpoint was trained, read as plain values.

    This is the config stored in the checkpoint. For bare weights in the folder of a single run, it is the config that
    was dumped there.

    Args:
        checkpoint: Path of the checkpoint.
        content: Content of the checkpoint.
        trusted: See `read_stored_config`.
        in_run: Whether the checkpoint is known to be in a run folder; if False, a folder with logs counts as one.

    Returns:
        The config; None if it is not recorded.

    Raises:
        UserError: The config holds more than plain values, or several configs were dumped into the folder.
    """
    meta = content.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    name = re.sub(r'_\d{8}_\d{6}$', '', str(meta.get('experiment_name') or 'config')) + '.py'
    if isinstance(meta.get('cfg'), str) and meta['cfg']:
        return read_stored_config(meta['cfg'], str(checkpoint), name, trusted)
    folder = checkpoint.parent
    if not in_run and not any(folder.glob('*/vis_data')):
        return None
    dumped = sorted(folder.glob('*.py')) or sorted(folder.glob('*/vis_data/config.py'))
    if len(dumped) > 1:
        raise UserError(
            f'{checkpoint} does not state with which config it was trained, and its folder holds '
            f'{len(dumped)}; name one: CONFIG.py={checkpoint}.'
        )
    if not dumped:
        return None
    check_regular(dumped[0], 'config')
    return read_stored_config(dumped[0].read_text('utf-8', 'replace'), str(checkpoint), dumped[0].name, trusted)


def read_run(folder: Path, trusted: bool = False) -> tuple[Path, Config]:
    """Returns the newest checkpoint of a run and the config with which it was trained.

    Args:
        folder: Run folder.
        trusted: See `read_stored_config`.

    Raises:
        MissingFile: The folder, a readable checkpoint or the config is missing.
        UserError: See `recorded_config`.
    """
    checkpoint = newest_checkpoint(folder)
    content = read_checkpoint(str(checkpoint), allow_pickle=trusted, mmap=True)
    config = recorded_config(checkpoint, content, trusted, in_run=True)
    if config is None:
        raise MissingFile(
            f'{folder}: no config in this run folder; pass the work_dir of a training run, '
            'or name one: CONFIG.py=CHECKPOINT.'
        )
    return checkpoint, config


def newest_checkpoint(folder: Path) -> Path:
    """Returns the newest readable checkpoint of a run; bare weights only if there is no resumable checkpoint.

    Raises:
        MissingFile: The folder or a readable checkpoint is missing.
    """
    if not folder.is_dir():
        raise MissingFile(f'{folder}: no such run folder; check the path.')
    found = find_resumable(str(folder))
    if found is not None:
        return Path(found)
    files = [path for path in folder.glob('*.pth') if path.is_file()]
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(ValueError):
            read_checkpoint(str(path), mmap=True)
            return path
    raise MissingFile(f'{folder}: no readable checkpoint (*.pth) in this run folder; train until one is saved.')
