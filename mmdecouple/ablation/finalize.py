"""What a finished run keeps: bare weights, and a note of how it was made."""

import io
from pathlib import Path
from typing import Any

import torch

from mmdecouple.runs.contents import newest_checkpoint
from mmdecouple.runs.stamp import Stamp
from mmdecouple.utils.digests import digest_of_bytes
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_bytes
from mmdecouple.version import __version__
from mmdecouple.weights.checkpoint import read_checkpoint

from .plan import PlannedRun


def read_note(run: PlannedRun) -> dict[str, Any] | None:
    """The note of a finished run, None if it has not finished."""
    return Stamp(run.folder, run.key).finished() if run.row.untrained or run.weights.is_file() else None


def finish(run: PlannedRun, processes: int = 1) -> None:
    """Keeps the bare weights of a run that has trained to its end, note how it was made, drop its other checkpoints.

    Args:
        run: It has nothing left to train.
        processes: That it was spread over.

    Raises:
        RuntimeError: It was stopped before its end.
    """
    stamp = Stamp(run.folder, run.key)
    note = dict(base=run.row.bases, version=__version__, iterations=0, images=0, checkpoint_sha256=None)
    if run.row.untrained:
        stamp.finish(**note)
        return
    newest = newest_checkpoint(run.folder)
    if newest.name == 'interrupted.pth':
        raise UserError(f'{run.folder} was stopped before its end; run the same command to go on.')
    content = read_checkpoint(str(newest))
    buffer = io.BytesIO()
    torch.save(dict(meta=content['meta'], state_dict=content['state_dict']), buffer)
    write_bytes(run.weights, buffer.getvalue())
    meta = content['meta']
    images = meta['iter'] * run.config.train_dataloader.batch_size * processes
    note.update(iterations=meta['iter'], images=images, checkpoint_sha256=digest_of_bytes(buffer.getvalue()))
    for path in figures_folder(run).glob('*.json'):
        path.unlink()  # Of an earlier training of this run, with other weights.
    stamp.finish(**note)
    for path in [*run.folder.glob('*.pth'), *run.folder.glob('last_checkpoint')]:
        if path != run.weights:
            path.unlink()


def figures_folder(run: PlannedRun) -> Path:
    """Where the figures of a run's measures stand."""
    return run.folder / 'figures'
