"""The processes of `torchrun` end when their agent is gone."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

_GRACE = 5.0  # seconds for a last checkpoint
# torchrun sets it for its ranks, not for itself.
_OF_A_RANK = 'TORCHELASTIC_RUN_ID'


def end_with_agent() -> None:
    """Watches the agent that started this process, if one did, and ends soon after it, whatever happens.

    A killed agent leaves its ranks behind, which train on in a folder that a requeued job takes for free. They first
    get SIGTERM, by which a run saves a checkpoint and ends; after 5 s this process and its workers are killed.
    """
    if _OF_A_RANK in os.environ:
        threading.Thread(target=_watch, args=(_ancestors(),), name='agent', daemon=True).start()


def _watch(ancestors: list[int]) -> None:
    while all(_parent(child) == parent for child, parent in pairwise(ancestors)):
        time.sleep(0.5)
    print(f'mmdecouple: the agent of process {os.getpid()} is gone; the process ends.', file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    for worker in multiprocessing.active_children():
        worker.kill()
    os.kill(os.getpid(), signal.SIGKILL)


def _ancestors() -> list[int]:
    """This process and those above it up to the agent; a wrapper script may stand between."""
    found = [os.getpid(), os.getppid()]
    while _is_rank(found[-1]):
        parent = _parent(found[-1])
        if parent is None or parent <= 1:
            break
        found.append(parent)
    return found


def _is_rank(process: int) -> bool:
    try:
        return f'{_OF_A_RANK}='.encode() in Path(f'/proc/{process}/environ').read_bytes()
    except OSError:
        return False


def _parent(process: int) -> int | None:
    if process == os.getpid():
        return os.getppid()
    try:
        # "pid (any name) state parent ..."
        return int(Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
