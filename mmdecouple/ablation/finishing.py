"""What a finished run keeps: bare weights, and a note of how it was made."""
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_bytes, write_json
from mmdecouple.utils.run_folders import newest_checkpoint
from mmdecouple.version import __version__
from mmdecouple.weights.checkpoint import read_checkpoint

from .plan import Run

NOTE = 'run.json'


def read_note(run: Run) -> dict[str, Any] | None:
    """The note of a finished run, None if it has not finished."""
    path = run.folder / NOTE
    if not path.is_file() or not (run.row.untrained or run.weights.is_file()):
        return None
    return json.loads(path.read_text())


def finish(run: Run, processes: int = 1) -> None:
    """Keep the bare weights of a run that has trained to its end, note how it was made, drop its other checkpoints.

    Args:
        run: It has nothing left to train.
        processes: That it was spread over.

    Raises:
        RuntimeError: It was stopped before its end.
    """
    note = dict(key=run.key, base=run.row.bases, version=__version__, iterations=0, images=0, checkpoint_sha256=None)
    if run.row.untrained:
        write_json(run.folder / NOTE, note, indent=1)
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
    note.update(iterations=meta['iter'], images=images,
                checkpoint_sha256=hashlib.sha256(buffer.getvalue()).hexdigest())
    for path in figures_folder(run).glob('*.json'):
        path.unlink()  # Of an earlier training of this run, with other weights.
    write_json(run.folder / NOTE, note, indent=1)
    for path in [*run.folder.glob('*.pth'), *run.folder.glob('last_checkpoint')]:
        if path != run.weights:
            path.unlink()


def figures_folder(run: Run) -> Path:
    """Where the figures of a run's measures stand."""
    return run.folder / 'figures'
