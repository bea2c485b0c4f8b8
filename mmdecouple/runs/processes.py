"""Agreement between the processes of a run, and termination of its data loader workers."""

import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from mmengine.dist import broadcast_object_list, is_main_process

from mmdecouple.utils.compatibility import is_of_peers
from mmdecouple.utils.errors import PREFIX, UserError, one_line, shown

from .watchdog import write_stacks_on_request


def on_main_process(call: Callable[[], Any]) -> Any:
    """Calls a function in the main process only.

    Args:
        call: Function without arguments, whose result can be pickled.

    Returns:
        The result, in every process.

    Raises:
        UserError: The call raised it; every process raises the same error.
    """
    answer: list[Any] = [None, None]
    if is_main_process():
        try:
            answer[0] = call()
        except UserError as error:
            answer[1] = error
    broadcast_object_list(answer)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


class LostPeer(UserError):
    """Another process of the run is gone."""


def lost_peer(error: RuntimeError) -> LostPeer | None:
    """One line for a collective that failed because a process on the other end is gone, else None.

    Args:
        error: Of gloo, NCCL or torch's store, which have no class in common.
    """
    text = str(error)
    if not is_of_peers(error) and not re.search(r'gloo|NCCL', text):
        return None
    return LostPeer(
        f'another process of this run does not answer any more ({shown(text, 120)}); look for its own error, then run '
        'the same command with --resume.'
    )


def end_alone(error: LostPeer) -> NoReturn:
    """Prints the line of the error and ends the process at once, with exit code 1.

    An ordinary end would wait for collectives that nobody answers, until the agent kills the process.
    """
    print(f'{PREFIX}{one_line(str(error))}', file=sys.stderr, flush=True)
    logging.shutdown()
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(1)


def start_worker(inner: Callable | None, worker_id: int) -> None:
    """Initializes a worker of a data loader so that only its parent handles signals to the process group.

    A worker ignores SIGINT and accepts SIGTERM from its parent only, with which data loaders end their workers. It also
    ends when its parent ends.

    Args:
        inner: Another initialization function, called with `worker_id`; None for none.
        worker_id: Index of the worker.
    """
    for ignored in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()
    write_stacks_on_request()
    if inner is not None:
        inner(worker_id)


def start_pool_worker(parent: int) -> None:
    """Initializes a worker of a pool of processes: Ctrl-C is left to the parent, and the worker ends with it.

    Args:
        parent: Id of the parent; the worker also ends if it was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _obey_parent(parent: int) -> None:
    while os.getppid() == parent:
        received = signal.sigtimedwait({signal.SIGTERM}, 1)
        if received is not None and received.si_pid == parent:
            break
    os._exit(0)
