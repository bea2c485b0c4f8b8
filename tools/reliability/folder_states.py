"""States of run folders: digests, copies, and the differences between the results of two runs."""

import hashlib
import os
import re
import shutil
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
_DURATIONS = ('time', 'data_time', 'data_share')


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


def keep(folder: Path, states: Path, processes: list[int]) -> str:
    """Copies a folder to a folder of states, unless an equal one is there already, and returns its digest."""
    state = digest(folder, processes)
    if not (states / state).exists():
        put(folder, states / state)
    return state


def put(source: Path, folder: Path) -> None:
    """Gives a folder the content of another one; both may be missing."""
    shutil.rmtree(folder, ignore_errors=True)
    if source.exists():
        shutil.copytree(source, folder)


class Snapshot:
    """Snapshot of a folder in which this process holds files open, which stay the same files when it is restored.

    Args:
        folder: Folder to restore later.
        links: New folder on the same file system, for a second name of each file.
    """

    def __init__(self, folder: Path, links: Path) -> None:
        self._folder, self._links = folder, links
        self._contents = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
        self._folders = {path for path in folder.rglob('*') if path.is_dir()}
        shutil.rmtree(links, ignore_errors=True)
        links.mkdir()
        for number, path in enumerate(self._contents):
            os.link(path, links / str(number))

    def restore(self) -> None:
        """Restores names and contents."""
        for path in sorted(self._folders):
            path.mkdir(exist_ok=True)
        for number, (path, content) in enumerate(self._contents.items()):
            link = self._links / str(number)
            if not path.exists() or not path.samefile(link):
                path.unlink(missing_ok=True)
                os.link(link, path)
            if path.read_bytes() != content:
                path.write_bytes(content)
        for path in sorted(self._folder.rglob('*'), reverse=True):
            if path not in self._contents and path not in self._folders:
                path.rmdir() if path.is_dir() else path.unlink()


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
