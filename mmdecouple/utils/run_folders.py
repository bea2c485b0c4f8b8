"""What a training run leaves in its folder: its config and its newest checkpoint."""
from contextlib import suppress
from pathlib import Path

from .checkpoint import find_resumable, read_checkpoint
from .errors import MissingFile


def find_config(folder: Path) -> Path:
    """Return the config that mmengine dumped into a run folder (the newest, if there are several).

    Raises:
        FileNotFoundError: The folder does not exist or holds no dumped config.
    """
    if not folder.is_dir():
        raise MissingFile(f'{folder}: no such run folder.')
    dumped = sorted(folder.glob('*.py'), key=lambda path: path.stat().st_mtime)
    dumped = dumped or sorted(folder.glob('*/vis_data/config.py'))
    if not dumped:
        raise MissingFile(
            f'{folder}: no config in this run folder; give the work_dir of a training run, '
            'the folder in which tools/train.py left <config>.py.')
    return dumped[-1]


def is_run_folder(folder: Path) -> bool:
    """Whether a training run logged into this folder."""
    return any(folder.glob('*/vis_data'))


def newest_checkpoint(folder: Path) -> Path:
    """Return the newest readable checkpoint of a run, bare weights only if there is no other.

    Raises:
        FileNotFoundError: There is none.
    """
    found = find_resumable(str(folder))
    if found is not None:
        return Path(found)
    for path in sorted(folder.glob('*.pth'), key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(ValueError):
            read_checkpoint(str(path), mmap=True)
            return path
    raise MissingFile(f'{folder}: no readable checkpoint (*.pth) in this run folder; '
                      'let the run save one first.')
