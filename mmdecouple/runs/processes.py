"""Agreement between the processes of a run, and termination of its data loader workers."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process

from mmdecouple.utils.errors import UserError


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


def start_worker(inner: Callable | None, worker_id: int) -> None:
    """Initializes a worker of a data loader so that only its parent handles signals to the process group.

    A worker ignores SIGINT and accepts SIGTERM from its parent only, with which data loaders end their workers. It also
    ends when its parent ends.

    Args:
        inner: Another initialization function, called with `worker_id`; None for none.
        worker_id: Index of the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()
    if inner is not None:
        inner(worker_id)


def _obey_parent(parent: int) -> None:
    while os.getppid() == parent:
        received = signal.sigtimedwait({signal.SIGTERM}, 1)
        if received is not None and received.si_pid == parent:
            break
    os._exit(0)
