"""Finalization of a run: keeps bare weights and a note on their origin."""

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
    """Returns the note of a finished run; None if it has not finished."""
    return Stamp(run.folder, run.key).finished() if run.row.untrained or run.weights.is_file() else None


def finish(run: PlannedRun, processes: int = 1) -> None:
    """Stores bare weights and a note of a completely trained run, and removes its other checkpoints.

    Args:
        run: Run that has trained to its end, or an untrained run.
        processes: Number of processes of the training.

    Raises:
        UserError: The run was stopped before its end.
    """
    stamp = Stamp(run.folder, run.key)
    note = dict(base=run.row.bases, version=__version__, iterations=0, images=0, checkpoint_sha256=None)
    if run.row.untrained:
        stamp.finish(**note)
        return
    newest = newest_checkpoint(run.folder)
    if newest.name == 'interrupted.pth':
        raise UserError(f'{run.folder} was stopped before its end; run the same command to continue.')
    content = read_checkpoint(str(newest))
    buffer = io.BytesIO()
    torch.save(dict(meta=content['meta'], state_dict=content['state_dict']), buffer)
    write_bytes(run.weights, buffer.getvalue())
    meta = content['meta']
    images = meta['iter'] * run.config.train_dataloader.batch_size * processes
    note.update(iterations=meta['iter'], images=images, checkpoint_sha256=digest_of_bytes(buffer.getvalue()))
    for path in figures_folder(run).glob('*.json'):
        path.unlink()  # Measured with the weights of an earlier training of this run.
    stamp.finish(**note)
    for path in [*run.folder.glob('*.pth'), *run.folder.glob('last_checkpoint')]:
        if path != run.weights:
            path.unlink()


def figures_folder(run: PlannedRun) -> Path:
    """Returns the folder of the measured values of a run."""
    return run.folder / 'figures'
