"""Real agents and ranks: what a cluster kills, and what it starts twice."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmdecouple.engine import find_resumable
from mmdecouple.utils.files import is_running
from tests.integration.runs import ROOT, train, write_case

pytestmark = pytest.mark.slow
LONG = (
    'train_cfg.max_epochs=4000',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=1',
    'train_dataloader.persistent_workers=True',
)


def start(case, work_dir, processes=1):
    """A run in the background that has taken its first steps."""
    command = [sys.executable]
    if processes > 1:
        command += ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={processes}']
    log = open(case / f'{work_dir}.log', 'w')
    run = subprocess.Popen(
        [
            *command,
            str(ROOT / 'tools/train.py'),
            str(case / 'densecl.py'),
            '--work-dir',
            str(case / work_dir),
            '--device',
            'cpu',
            '--launcher',
            'pytorch' if processes > 1 else 'none',
            '--cfg-options',
            'randomness.seed=5',
            'env_cfg.dist_cfg.backend=gloo',
            *LONG,
        ],
        cwd=ROOT,
        stdout=log,
        stderr=log,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)),
    )
    until = time.monotonic() + 120
    while not list((case / work_dir).glob('iter_*.pth')):
        assert time.monotonic() < until and run.poll() is None, Path(log.name).read_text()[-3000:]
        time.sleep(0.2)
    return run


def below(process):
    """Ids of all processes that a process started, at any depth."""
    children = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(process)], capture_output=True, text=True)
    found = [int(word) for word in children.stdout.split()]
    return found + [one for child in found for one in below(child)]


def test_nothing_trains_ten_seconds_after_a_killed_agent_and_the_successor_goes_on(tmp_path):
    case = write_case(tmp_path)
    run = start(case, 'run', processes=2)
    ranks = below(run.pid)
    assert len(ranks) >= 4
    run.kill()
    run.wait()
    killed = time.monotonic()
    while any(map(is_running, ranks)):
        assert time.monotonic() - killed < 10, [one for one in ranks if is_running(one)]
        time.sleep(0.1)
    assert Path(find_resumable(str(case / 'run'))).name in ('interrupted.pth', *os.listdir(case / 'run'))
    done = train(case, 'run', '--resume', method='densecl', processes=2, options=(*LONG[1:], 'train_cfg.max_epochs=1'))
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_second_start_in_a_folder_is_refused_before_it_writes_and_a_kill_frees_it(tmp_path):
    case = write_case(tmp_path)
    run = start(case, 'run')
    try:
        starts = sorted((case / 'run').glob('*.py')) + sorted((case / 'run').glob('*/*'))
        for arguments, method in (((), 'densecl'), (('--resume',), 'densecl'), ((), 'ibot')):
            second = train(case, 'run', *arguments, method=method)
            lines = second.stderr.strip().splitlines()
            assert second.returncode == 1 and re.search(rf'host \S+, process {run.pid}', lines[-1]), second.stderr
            assert 'Traceback' not in second.stderr
            assert sorted((case / 'run').glob('*.py')) + sorted((case / 'run').glob('*/*')) == starts
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert (
        train(case, 'run', '--resume', method='densecl', options=(*LONG[1:], 'train_cfg.max_epochs=1')).returncode == 0
    )
