"""A process in which nothing moves any more ends, and leaves the stacks of all its threads in a file."""

import faulthandler
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from mmdecouple.utils.errors import PREFIX, one_line

from .heartbeat import Heartbeat

EXIT_CODE = 75  # of sysexits.h: try again
# What is stuck in C code and holds the interpreter lock stops every Python thread: then C code ends the process.
_LAST_RESORT = 30.0
_STDERR = 2
_WORKER_SECONDS = 1.0
_STACKS = 'MMDECOUPLE_STACKS'


_running: 'Watchdog | None' = None


def still_moving(what: str) -> None:
    """Tells the watchdog of this process, if there is one, that a long piece of work goes on."""
    if _running is not None:
        _running.beat(what)


def stop_watching() -> None:
    """Stops the watchdog of this process, if there is one."""
    if _running is not None:
        _running.stop()


class Watchdog:
    """Ends this process and its workers when ``beat`` was not called for too long.

    Args:
        seconds: Longest time between two beats, > 0.
        file: Takes the stacks of all threads of this process and of its workers.
        name: Of the process, for the line.
    """

    def __init__(self, seconds: float, file: Path, name: str) -> None:
        self.seconds, self.file, self.name = seconds, file, name
        self._stopped = threading.Event()
        self._heartbeat: Heartbeat | None = None
        self._last, self._factor, self._what = time.monotonic(), 1.0, 'the start'

    def start(self, heartbeat: Heartbeat | None = None) -> None:
        """Begins to watch; workers that are started later write their stacks, too.

        Args:
            heartbeat: Of the hosts of the run; it is stopped with the watchdog.
        """
        global _running
        stop_watching()
        _running = self
        self._of_workers = tempfile.TemporaryDirectory(prefix='mmdecouple_stacks_')
        os.environ[_STACKS] = self._of_workers.name
        self._heartbeat = heartbeat
        if heartbeat is not None:
            heartbeat.start()
        if self.seconds < math.inf:
            threading.Thread(target=self._watch, name='watchdog', daemon=True).start()

    def stop(self) -> None:
        """Watches no longer."""
        global _running
        _running = None
        self._stopped.set()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        faulthandler.cancel_dump_traceback_later()
        os.environ.pop(_STACKS, None)
        self._of_workers.cleanup()

    def beat(self, what: str, factor: float = 1.0) -> None:
        """Something moves.

        Args:
            what: Where the process is, for the line.
            factor: How many times as long the next beat may take, such as the first step with its compilation.
        """
        self._last, self._factor, self._what = time.monotonic(), factor, what

    def end(self, reason: str) -> None:
        """Writes the stacks, prints one line, and ends this process and its workers."""
        workers = multiprocessing.active_children()
        for worker in workers:
            if worker.pid is not None:
                os.kill(worker.pid, signal.SIGUSR2)
        time.sleep(_WORKER_SECONDS if workers else 0)
        try:
            self._write(reason)
            where = f'; see {self.file}'
        except OSError as error:
            where = f' ({self.file} cannot be written: {error.strerror})'
        line = one_line(f'{reason}{where}; the last checkpoint is whole: run the same command with --resume.')
        print(f'{PREFIX}{line}', file=sys.stderr, flush=True)
        for worker in workers:
            worker.kill()
        self._of_workers.cleanup()
        os._exit(EXIT_CODE)

    def _write(self, reason: str) -> None:
        with self.file.open('a') as file:
            file.write(f'{time.strftime("%Y-%m-%d %H:%M:%S")} {reason}\n\n{self.name}, process {os.getpid()}\n')
            file.flush()
            faulthandler.dump_traceback(file)
            for path in sorted(Path(self._of_workers.name).iterdir()):
                file.write(f'\nworker of {self.name}, process {path.name}\n{path.read_text()}')

    def _watch(self) -> None:
        pause = min(1.0, self.seconds / 10)
        while not self._stopped.wait(pause):
            allowed = self.seconds * self._factor
            idle = time.monotonic() - self._last
            if idle > allowed:
                self.end(f'{self.name} has not moved for {idle:.0f} s after {self._what}')
            faulthandler.dump_traceback_later(allowed - idle + _LAST_RESORT, file=_STDERR, exit=True)


def write_stacks_on_request() -> None:
    """In a worker: SIGUSR2 writes the stacks of its threads where the watchdog of its parent reads them."""
    folder = os.environ.get(_STACKS)
    if folder:
        faulthandler.register(signal.SIGUSR2, file=Path(folder, str(os.getpid())).open('w'))
