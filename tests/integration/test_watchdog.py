"""A rank or a loader's worker that stands still ends the run with the stacks of all threads, and nothing is lost."""

import os
import re
import subprocess
import sys
import time

import pytest

from mmdecouple.runs.watchdog import EXIT_CODE
from tests.integration.runs import ROOT, train, write_case
from tests.integration.test_resume import assert_same_run, last


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp('watchdog'))


def stalled(case, work_dir, hook, processes=1, options=()):
    """Trains with a watchdog of eight seconds and a hook or transform that stands still; gives output and seconds."""
    config = case / f'{work_dir}.py'
    config.write_text(
        f"_base_ = ['densecl-d.py']\ncustom_hooks = [dict(type='WatchdogHook', timeout=8), {hook!r}]\n"
        f'train_dataloader = dict(batch_size={4 // processes})\n'
    )
    start = time.monotonic()
    done = train(case, work_dir, method=work_dir, processes=processes, options=options)
    return done, time.monotonic() - start


def one_line(text):
    (line,) = {line for line in text.splitlines() if line.startswith('mmdecouple: error: ')}
    return line


def test_a_rank_that_stands_still_ends_and_the_run_goes_on(case):
    done, _ = stalled(case, 'still', dict(type='WaitHook', iteration=9, file=str(case / 'still.go')))
    assert done.returncode == EXIT_CODE, done.stderr[-3000:]
    report = case / 'still' / 'stalled_rank0.txt'
    line = one_line(done.stderr)
    assert re.search(r'rank 0 has not moved for \d+ s after iteration 10', line), line
    assert str(report) in line and '--resume' in line
    stacks = report.read_text()
    assert 'resume_case.py", line' in stacks and 'in after_train_iter' in stacks
    (case / 'still.go').touch()
    again = train(case, 'still', '--resume', method='still')
    assert again.returncode == 0, again.stderr[-3000:]
    alone = train(case, 'alone')
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert_same_run(last(case, 'still'), last(case, 'alone'))


def test_a_worker_that_stands_still_ends_the_run_with_its_stacks(case):
    options = ('train_dataloader.num_workers=2', 'train_dataloader.dataset.pipeline.0.type=HangingViews')
    done, _ = stalled(case, 'worker', dict(type='SignalHook', iteration=-1, name='SIGTERM'), options=options)
    assert done.returncode == EXIT_CODE, done.stderr[-3000:]
    assert 'has not moved for' in one_line(done.stderr)
    stacks = (case / 'worker' / 'stalled_rank0.txt').read_text()
    assert stacks.count('worker of rank 0, process') == 2 and 'in hang' in stacks


@pytest.mark.slow
def test_all_ranks_end_when_one_stands_still(case):
    hook = dict(type='WaitHook', iteration=9, file=str(case / 'two.go'), rank=1)
    done, seconds = stalled(case, 'two', hook, processes=2)
    assert done.returncode != 0 and seconds < 120
    stacks = [(case / 'two' / f'stalled_rank{rank}.txt') for rank in (0, 1)]
    assert 'in after_train_iter' in stacks[1].read_text()


def test_a_process_that_holds_the_interpreter_is_ended_too(tmp_path):
    """`PyDLL` calls C code without releasing the interpreter's lock, so that no Python thread runs."""
    code = (
        'import ctypes, pathlib\nfrom mmdecouple.runs import watchdog\nwatchdog._LAST_RESORT = 2.0\n'
        f'dog = watchdog.Watchdog(1.0, pathlib.Path({str(tmp_path / "stacks.txt")!r}), "rank 0")\ndog.start()\n'
        'import time\ntime.sleep(0.5)\nctypes.PyDLL(None).sleep(100)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, env=dict(os.environ, PYTHONPATH=ROOT)
    )
    assert done.returncode == 1 and 'Timeout' in done.stderr and 'most recent call first' in done.stderr


def test_a_process_that_moves_or_is_not_watched_any_more_goes_on(tmp_path):
    code = (
        'import pathlib, time\nfrom mmdecouple.runs.watchdog import Watchdog, still_moving, stop_watching\n'
        f'dog = Watchdog(0.5, pathlib.Path({str(tmp_path / "stacks.txt")!r}), "rank 0")\ndog.start()\n'
        'for _ in range(12):\n    time.sleep(0.1)\n    still_moving("a batch")\n'
        'dog.beat("compilation", factor=4)\ntime.sleep(1)\nstop_watching()\ntime.sleep(1)\nprint("alive")\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, env=dict(os.environ, PYTHONPATH=ROOT)
    )
    assert done.returncode == 0 and done.stdout == 'alive\n' and not list(tmp_path.iterdir())
