"""The hosts of a run notice when one of them does not answer any more."""

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank

_BEATS = 8  # in the time after which a host counts as lost


class Heartbeat:
    """Keys of a `TCPStore` that one process of every host counts up and all others read.

    A host that is cut off sends no error: its peers would wait in a collective until the back end's own timeout, half
    an hour by default. On a single host nothing is done: there the agent or Slurm sees every process.

    Args:
        seconds: Time without an answer after which a host counts as lost, > 0.
        lost: Called with one sentence, from a thread.
    """

    def __init__(self, seconds: float, lost: Callable[[str], None]) -> None:
        self.seconds, self._lost = seconds, lost
        self._stopped = threading.Event()
        self._store: torch.distributed.TCPStore | None = None
        self._seen: dict[int, tuple[bytes, float]] = {}
        self._answered = time.monotonic()

    def start(self) -> None:
        """Begins to beat; called by all processes of a run together."""
        rank, first = get_rank(), os.environ.get('LOCAL_RANK', '0') == '0'
        ranks = [other for other, is_first in all_gather_object((get_rank(), first)) if is_first]
        if len(ranks) < 2:
            return
        host, port = os.environ['MASTER_ADDR'], [0]
        wait = timedelta(seconds=self.seconds)
        if rank == 0:
            self._store = torch.distributed.TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=wait)
            port = [self._store.port]
        broadcast_object_list(port)
        if first and rank != 0:
            self._store = torch.distributed.TCPStore(host, port[0], is_master=False, timeout=wait)
        if self._store is not None:
            self._answered = time.monotonic()
            self._seen = {other: (b'', self._answered) for other in ranks if other != rank}
            for work in (self._beat, self._judge):
                threading.Thread(target=work, args=(rank,), name=f'heartbeat {work.__name__}', daemon=True).start()

    def stop(self) -> None:
        """Ends the threads; the others see no beat any more, so all processes stop together."""
        self._stopped.set()

    def _beat(self, rank: int) -> None:
        assert self._store is not None
        count, others = 0, list(self._seen)
        while not self._stopped.wait(self.seconds / _BEATS):
            count += 1
            try:
                self._store.set(f'{rank}', f'{count}')
                present = [other for other in others if self._store.check([f'{other}'])]
                values = self._store.multi_get([f'{other}' for other in present]) if present else []
            except RuntimeError:
                # A connection that is gone: `_judge` waits whether it was that of a run that ends.
                continue
            self._answered = now = time.monotonic()
            for other, value in zip(present, values):
                if value != self._seen[other][0]:
                    self._seen[other] = value, now

    def _judge(self, rank: int) -> None:
        while not self._stopped.wait(self.seconds / _BEATS):
            now = time.monotonic()
            if now - self._answered > self.seconds:
                self._lost(f'rank {rank} has not reached the host of rank 0 for {self.seconds:.0f} s')
                return
            for other, (_, when) in self._seen.items():
                if now - when > self.seconds and now - self._answered < self.seconds / 2:
                    self._lost(f'the host of rank {other} has not answered for {self.seconds:.0f} s')
                    return
