"""Of several processes all stop at one iteration, and agree on it without waiting for each other in between.

The other process is played by the exchange: `all_reduce` gives the largest flag of both.
"""

import os
import signal

import pytest
import torch

from .test_hooks import TellHook  # noqa: F401  registered there
from .toy import Toy, make_runner

HOOK = 'mmdecouple.engine.hooks.graceful_stop_hook'


class OtherProcess:
    """A second process that got a signal before iteration `told` of its own, or none."""

    def __init__(self, told: int | None):
        self.told, self.exchanges, self.now, self.open = told, [], 0, None

    def all_reduce(self, flag, op, async_op):
        assert self.open is None, 'an exchange begins before the last one was read'
        assert op is torch.distributed.ReduceOp.MAX and async_op and flag.shape == (1,)
        self.exchanges.append(self.now)
        self.open = flag
        flag.fill_(max(flag.item(), float(self.told is not None and self.now >= self.told)))
        return self

    def wait(self):
        assert self.open is not None
        self.open = None


def run(work_dir, monkeypatch, told=None, own=None, interval=3, epochs=4, accumulate=1):
    """The other process, and the iteration that the checkpoint of a stopped run holds, or None."""
    other = OtherProcess(told)
    monkeypatch.setattr(f'{HOOK}.get_world_size', lambda: 2)
    monkeypatch.setattr(torch.distributed, 'all_reduce', other.all_reduce)

    def follow(runner, _):
        other.now = runner.iter
        if runner.iter == own:
            os.kill(os.getpid(), signal.SIGTERM)

    hooks = [dict(type='GracefulStopHook', interval=interval), dict(type='TellHook', call=follow)]
    runner = make_runner(work_dir, Toy(), hooks, epochs=epochs, accumulate=accumulate)
    before = signal.getsignal(signal.SIGTERM)
    try:
        runner.train()
        return other, None
    except SystemExit as end:
        assert end.code == 0
        return other, torch.load(work_dir / 'interrupted.pth', weights_only=False)['meta']['iter']
    finally:
        assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    'told, own, stopped',
    [
        # Flags are exchanged after iterations 0, 3, 6, ... and read after the next.
        (0, None, 2),
        (1, None, 5),
        (3, None, 5),
        (5, None, 8),
        (None, 1, 5),
        (None, 3, 5),
        (None, 4, 8),
        (7, 4, 8),
    ],
)
def test_a_signal_to_one_process_stops_all_after_the_next_exchange(tmp_path, monkeypatch, told, own, stopped):
    other, found = run(tmp_path, monkeypatch, told, own)
    assert found == stopped
    assert other.exchanges == list(range(0, stopped, 3))


def test_without_a_signal_processes_exchange_and_go_on(tmp_path, monkeypatch):
    other, stopped = run(tmp_path, monkeypatch, interval=5)
    assert stopped is None and other.exchanges == [0, 5, 10, 15]
    assert not (tmp_path / 'interrupted.pth').exists()


def test_an_agreed_stop_waits_for_the_gradients_that_accumulate(tmp_path, monkeypatch):
    _, stopped = run(tmp_path, monkeypatch, told=2, accumulate=4)
    assert stopped == 8


@pytest.mark.parametrize('interval', [1, 0])
def test_an_exchange_needs_an_iteration_to_be_read_in(interval):
    from mmdecouple.registry import HOOKS

    HOOKS.build(dict(type='GracefulStopHook', interval=2))
    with pytest.raises(ValueError, match=f'interval must be > 1, got {interval}'):
        HOOKS.build(dict(type='GracefulStopHook', interval=interval))
