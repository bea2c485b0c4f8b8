"""States of run folders: digests, and the differences between the results of two runs."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmdecouple.engine import read_checkpoint
from tests.integration.runs import differing

_TIMESTAMP = re.compile(r'\d{8}_\d{6}')
# Entries of a checkpoint that determine how a run continues.
_PARTS = ('state_dict', 'optimizer', 'param_schedulers')
_FACTS = ('iter', 'epoch', 'seed', 'record')
_DURATIONS = ('time', 'data_time')


def digest(folder: Path, processes: list[int]) -> str:
    """Returns a digest of the names and contents in a folder.

    Args:
        folder: Existing or missing folder.
        processes: Ids of the processes that wrote to it. They count as equal to those of another run: names of
            temporary files and the lock hold them.
    """
    found = hashlib.sha256()
    for path in sorted(folder.rglob('*')):
        name, content = str(path.relative_to(folder)), path.read_bytes() if path.is_file() else b''
        for process in processes:
            name = name.replace(f'.{process}.', '.PID.')
            if path.name == 'run.lock':
                content = content.replace(f'{process}'.encode(), b'PID')
        found.update(f'{name}\0{path.is_dir()}\0{len(content)}\0'.encode() + content)
    return found.hexdigest()[:16]


def differences(folder: Path, reference: Path, checkpoint: str) -> Iterator[str]:
    """Yields what distinguishes the result of a run from that of a reference run in another or the same place.

    Weights, optimizer, schedules, all curves but durations, counters and record of the last checkpoint have to be equal
    to the last bit, the names in the folder apart from timestamps, and the list of unreadable images.

    Args:
        folder: Folder of the run.
        reference: Folder of the reference run.
        checkpoint: Name of the last checkpoint.
    """
    names = [{_TIMESTAMP.sub('TIME', path.name) for path in one.iterdir()} for one in (folder, reference)]
    yield from (f'{name} is left' for name in sorted(names[0] - names[1]))
    yield from (f'{name} is missing' for name in sorted(names[1] - names[0]))
    if not (folder / checkpoint).exists():
        return
    first, second = (read_checkpoint(str(one / checkpoint)) for one in (folder, reference))
    for part in _PARTS:
        yield from differing(first[part], second[part], part)
    for fact in _FACTS:
        yield from differing(_fact(first, fact), _fact(second, fact), f'meta.{fact}')
    curves = [dict(_curves(one)) for one in (first, second)]
    yield from (f'curve {name}' for name in sorted(curves[0].keys() ^ curves[1].keys()))
    for name in sorted(curves[0].keys() & curves[1].keys()):
        if not np.array_equal(curves[0][name], curves[1][name], equal_nan=True):
            yield f'curve {name}'
    texts = [(one / 'unreadable_images.txt').read_text() for one in (folder, reference)]
    if texts[0] != texts[1]:
        yield f'unreadable_images.txt is {texts[0]!r}'


def _fact(checkpoint: dict[str, Any], fact: str) -> Any:
    value = checkpoint['meta'][fact]
    # The id of the run is drawn at its start.
    return {key: one for key, one in value.items() if key != 'run'} if fact == 'record' else value


def _curves(checkpoint: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    for name, curve in checkpoint['message_hub']['log_scalars'].items():
        if name.rpartition('/')[2] not in _DURATIONS:
            yield name, np.asarray(curve._log_history)
