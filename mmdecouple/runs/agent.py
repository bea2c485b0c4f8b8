"""Termination of the processes of `torchrun` when their agent no longer exists."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

_GRACE = 5.0  # seconds for a last checkpoint
# torchrun sets this variable for its ranks, not for itself.
_OF_A_RANK = 'TORCHELASTIC_RUN_ID'


def end_with_agent() -> None:
    """Watches the agent that started this process, if there is one, and ends the process soon after the agent.

    The ranks of a killed agent would otherwise continue to train in a folder that a requeued job considers free. The
    process first receives SIGTERM, upon which a run saves a checkpoint and ends; after 5 s the process and its workers
    are killed.
    """
    if _OF_A_RANK in os.environ:
        threading.Thread(target=_watch, args=(_ancestors(),), name='agent', daemon=True).start()


def _watch(ancestors: list[int]) -> None:
    while all(_parent(child) == parent for child, parent in pairwise(ancestors)):
        time.sleep(0.5)
    print(f'mmdecouple: the agent of process {os.getpid()} has ended; this process ends.', file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    for worker in multiprocessing.active_children():
        worker.kill()
    os.kill(os.getpid(), signal.SIGKILL)


def _ancestors() -> list[int]:
    """Returns the ids of this process and its ancestors up to the agent; wrapper scripts may lie between."""
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
