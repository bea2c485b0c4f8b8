"""Hook that ends a run with a checkpoint after SIGTERM, SIGUSR1 or Ctrl-C."""

import os
import signal
from types import FrameType
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.registry import HOOKS
from mmdecouple.runs.signals import early_signal
from mmdecouple.utils.errors import UserError

CHECKPOINT_NAME = 'interrupted.pth'
# What cancels a job, what a cluster sends ahead of a time limit (`--signal=USR1@60` of Slurm), and Ctrl-C.
STOPS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@HOOKS.register_module()
class GracefulStopHook(Hook):
    """Finishes the iteration after a signal, saves `interrupted.pth` and ends the program with exit code 0.

    A second Ctrl-C stops immediately. Several processes stop at the same iteration: they exchange their flags every
    `interval` iterations and read the result one iteration later, so that no step waits. An accumulation of gradients
    is completed first.

    Args:
        interval: Iterations between two exchanges of several processes, at least 2.

    Raises:
        UserError: The interval is too small.
    """

    priority = 'LOWEST'

    def __init__(self, interval: int = 10) -> None:
        if interval < 2:
            raise UserError(f'GracefulStopHook: interval must be > 1, got {interval}.')
        self.interval = interval
        self._signal: signal.Signals | None = None
        self._handlers: dict[int, Any] = {}
        self._exchange: tuple[torch.Tensor, Any] | None = None
        self._agreed = False

    def before_train(self, runner: Runner) -> None:
        """Installs handlers for the signals, before any worker process starts."""
        self._owner = os.getpid()
        self._signal = early_signal()
        self._device = next(runner.model.parameters()).device
        for number in STOPS:
            self._handlers[number] = signal.signal(number, self._note)

    def after_run(self, runner: Runner) -> None:
        """Restores the previous signal handlers."""
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Stops after a signal, on all processes at the same iteration."""
        self._agreed = self._agreed or self._exchange_flags(runner.iter)
        if not self._agreed or not runner.optim_wrapper.should_update():
            return
        meta = dict(epoch=runner.epoch, iter=runner.iter + 1)
        runner.save_checkpoint(runner.work_dir, CHECKPOINT_NAME, meta=meta, by_epoch=False)
        # mmengine's iteration-based loop reads `stop_training`.
        runner.train_loop.interrupted = runner.train_loop.stop_training = True
        name = self._signal.name if self._signal else 'a signal to another process'
        runner.logger.info(
            f'Stopped by {name} after iteration {meta["iter"]} of {runner.max_iters}; saved '
            f'{os.path.join(runner.work_dir, CHECKPOINT_NAME)}. To continue, run the same command with --resume.'
        )

    def _exchange_flags(self, iteration: int) -> bool:
        if get_world_size() == 1:
            return self._signal is not None
        if self._exchange is not None:
            flag, work = self._exchange
            self._exchange = None
            work.wait()
            return bool(flag.item())
        if iteration % self.interval == 0:
            flag = torch.tensor([float(self._signal is not None)], device=self._device)
            work = torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX, async_op=True)
            self._exchange = flag, work
        return False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            return
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = signal.Signals(number)
