"""Checkpoints of a run from which a resume can continue."""

import logging
import os.path as osp
from glob import escape, glob
from typing import Any

from mmengine.logging import print_log

from mmdecouple.utils.errors import UserError, one_line, shown
from mmdecouple.utils.files import check_regular
from mmdecouple.weights.checkpoint import read_checkpoint

_RESUMABLE_KEYS = ('meta', 'state_dict', 'message_hub', 'optimizer')
_MOST_ITERATIONS = 10**12
# File of a work dir with the name of the run that started last in it, which `meta.record` of its checkpoints repeats.
RUN_NAME = 'current_run'


def find_resumable(work_dir: str, begun_after: float | None = None) -> str | None:
    """Returns the checkpoint with the most iterations that is complete and holds everything that a resume requires.

    Iterations are compared instead of times, because a clock can be set back. If several runs have saved into the
    folder, checkpoints of the run that started last are preferred (`RUN_NAME`). Unusable files named `*.pth` are
    skipped with a warning.

    Args:
        work_dir: Folder of the run.
        begun_after: Seconds since the epoch; only a run that began later counts, and no other. None for any run.

    Returns:
        Path of the checkpoint; None if there is none.
    """
    current, saved = _current_run(work_dir), []
    if begun_after is not None and (current is None or osp.getmtime(osp.join(work_dir, RUN_NAME)) < begun_after):
        return None
    for path in sorted(glob(osp.join(escape(work_dir), '*.pth'))):
        try:
            checkpoint = read_checkpoint(path, mmap=True)
            if isinstance(checkpoint, dict) and 'meta' not in checkpoint:
                # Bare weights, stored there for another purpose.
                continue
            lack = _lack(checkpoint)
        except ValueError as error:
            lack = str(error)
        if lack:
            _pass_over(path, lack)
            continue
        meta = checkpoint['meta']
        record = meta.get('record')
        belongs = isinstance(record, dict) and current is not None and record.get('run') == current
        when = meta.get('saved_at')
        if begun_after is not None and not belongs:
            continue
        saved.append((belongs, meta['iter'], when if isinstance(when, float) else osp.getmtime(path), path))
    for belongs, _, _, path in sorted(saved, reverse=True):
        try:
            # The full reading checks every byte and every number.
            read_checkpoint(path)
        except ValueError as error:
            _pass_over(path, str(error))
            continue
        if current is not None and not belongs:
            print_log(
                f'{path!r} belongs to an earlier run: the last run in this folder left no checkpoint.',
                'current',
                logging.WARNING,
            )
        return path
    return None


def read_resumable(filename: str, allow_pickle: bool = False) -> dict[str, Any]:
    """Reads a checkpoint from which a run is to be resumed; its tensors stay on disk where possible.

    Args:
        filename: Path of the checkpoint.
        allow_pickle: See `read_checkpoint`.

    Raises:
        UserError: The checkpoint lacks something that a resume requires, or see `read_checkpoint`.
    """
    checkpoint = read_checkpoint(filename, allow_pickle=allow_pickle, mmap=not allow_pickle)
    lack = _lack(checkpoint)
    if lack:
        raise UserError(
            f'{filename!r} cannot be resumed: {lack}; start a new run from its weights (load_from, no '
            '--resume), or choose another checkpoint.'
        )
    return checkpoint


def _lack(checkpoint: Any) -> str | None:
    """Returns the reason why a checkpoint cannot be resumed; None if it can."""
    if not isinstance(checkpoint, dict):
        return f'it holds a {type(checkpoint).__name__}'
    for key in _RESUMABLE_KEYS:
        if not isinstance(checkpoint.get(key), dict):
            return f'it has no {key}' if key not in checkpoint else f'its {key} is not a dict'
    meta = checkpoint['meta']
    for key in ('iter', 'epoch'):
        if type(meta.get(key)) is not int or not 0 <= meta[key] < _MOST_ITERATIONS:
            return f'its meta.{key} is {shown(meta.get(key))}'
    if not isinstance(meta.get('seed', 0), int):
        return f'its meta.seed is {shown(meta["seed"])}'
    return None


def _current_run(work_dir: str) -> str | None:
    path = osp.join(work_dir, RUN_NAME)
    try:
        check_regular(path, 'name of a run')
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(200).strip() or None
    except (OSError, UserError):
        return None


def _pass_over(path: str, reason: str) -> None:
    print_log(one_line(f'Resume skips {path!r}: {reason}'), 'current', logging.WARNING)
