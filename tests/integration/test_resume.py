import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmdecouple.engine import read_checkpoint
from tests.integration.resume_case import CONFIG

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS = 18  # 3 epochs of 24 images at batch 4


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp('resume')
    rng = np.random.default_rng(0)
    (folder / 'images').mkdir()
    for index in range(24):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'images/{index:02}.jpg'), cv2.resize(coarse, (80, 60)))
    (folder / 'images' / '07.jpg').write_bytes(b'broken')
    (folder / 'config.py').write_text(CONFIG.replace('{images}', str(folder / 'images')))
    return folder


def train(case, work_dir, *arguments, options=(), processes=1, hook=None):
    config = case / 'config.py'
    if hook is not None:
        config = case / f'{work_dir}.py'
        config.write_text(f"_base_ = ['config.py']\n"
                          f'custom_hooks = _base_.custom_hooks + [{hook!r}]\n')
    program = [sys.executable]
    if processes > 1:
        program += ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={processes}']
        arguments = (*arguments, '--launcher', 'pytorch')
        options = (*options, 'env_cfg.dist_cfg.backend=gloo')
    return subprocess.run(
        [*program, str(ROOT / 'tools/train.py'), str(config), '--work-dir',
         str(case / work_dir), '--device', 'cpu', *arguments, '--cfg-options',
         'randomness.seed=5', *options],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)))



def last(case, work_dir):
    checkpoint = read_checkpoint(str(case / work_dir / f'iter_{ITERATIONS}.pth'))
    assert checkpoint['meta']['iter'] == ITERATIONS
    return checkpoint


def differing(first, second, path=''):
    """Paths at which two nested states are not equal to the last bit."""
    if torch.is_tensor(first):
        same = first.dtype == second.dtype and first.shape == second.shape and \
            first.numpy().tobytes() == second.numpy().tobytes()
        return [] if same else [path]
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return [f'{path} keys']
        return [p for key in first for p in differing(first[key], second[key], f'{path}.{key}')]
    if isinstance(first, (list, tuple)):
        return [p for i, (a, b) in enumerate(zip(first, second, strict=True))
                for p in differing(a, b, f'{path}[{i}]')]
    return [] if first == second else [path]


def assert_same_run(first, second):
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert differing(first[part], second[part], part) == []
    curves = [run['message_hub']['log_scalars']['train/loss']._log_history
              for run in (first, second)]
    assert np.array_equal(*curves)


@pytest.fixture(scope='module')
def uninterrupted(case):
    done = train(case, 'whole')
    assert done.returncode == 0, done.stderr[-3000:]
    return last(case, 'whole')


@pytest.mark.parametrize('workers', [0, 2])
def test_a_killed_run_ends_with_the_bytes_of_the_uninterrupted_one(case, uninterrupted, workers):
    work_dir = f'killed{workers}'
    at = random.Random(workers).randrange(5, ITERATIONS - 1)
    options = (f'train_dataloader.num_workers={workers}', )
    killed = train(case, work_dir, options=options,
                   hook=dict(type='SignalHook', iteration=at, name='SIGKILL'))
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    assert not (case / work_dir / f'iter_{ITERATIONS}.pth').exists()
    resumed = train(case, work_dir, '--resume', options=options)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert 'resumed epoch' in resumed.stdout + resumed.stderr
    assert_same_run(last(case, work_dir), uninterrupted)


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT'])
def test_a_signal_saves_and_ends_cleanly_and_the_run_goes_on(case, uninterrupted, name):
    options = ('train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True')
    stopped = train(case, name, options=options,
                    hook=dict(type='SignalHook', iteration=9, name=name))
    assert stopped.returncode == 0, stopped.stderr[-3000:]
    said = stopped.stdout + stopped.stderr
    assert f'Stopped by {name} after iteration 10 of {ITERATIONS}' in said and '--resume' in said
    assert read_checkpoint(str(case / name / 'interrupted.pth'))['meta']['iter'] == 10
    assert train(case, name, '--resume', options=options).returncode == 0
    assert_same_run(last(case, name), uninterrupted)


def test_unreadable_images_are_listed_once_over_all_epochs(case, uninterrupted):
    listed = (case / 'whole' / 'unreadable_images.txt').read_text().splitlines()
    assert [Path(line.split('\t')[0]).name for line in listed] == ['07.jpg']


@pytest.mark.parametrize('iteration', [2, 11])
def test_a_nan_stops_before_the_weights_are_touched(case, uninterrupted, iteration):
    work_dir = f'nan{iteration}'
    done = train(case, work_dir, hook=dict(type='PoisonHook', iteration=iteration))
    assert done.returncode == 1
    line = next(line for line in done.stderr.splitlines() if 'FiniteLossHook' in line)
    assert f'iteration {iteration}, rank 0' in line and 'not finite' in line
    assert 'no weight was changed' in line and '.jpg' in line
    saved = sorted(path.name for path in (case / work_dir).glob('*.pth'))
    assert saved == ([] if iteration == 2 else ['iter_8.pth'])


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on_as_if_nothing_had_been(case):
    options = ('train_dataloader.batch_size=2', )
    whole = train(case, 'two', options=options, processes=2)
    assert whole.returncode == 0, whole.stderr[-3000:]
    stopped = train(case, 'two_stopped', options=options, processes=2,
                    hook=dict(type='SignalHook', iteration=3, name='SIGTERM'))
    assert stopped.returncode == 0, stopped.stderr[-3000:]
    assert (case / 'two_stopped' / 'interrupted.pth').exists()
    resumed = train(case, 'two_stopped', '--resume', options=options, processes=2)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert_same_run(last(case, 'two_stopped'), last(case, 'two'))


@pytest.mark.slow
def test_a_nan_on_one_process_stops_all(case):
    done = train(case, 'two_nan', options=('train_dataloader.batch_size=2', ), processes=2,
                 hook=dict(type='PoisonHook', iteration=6, rank=1))
    assert done.returncode != 0
    assert (case / 'two_nan' / 'nonfinite_loss_rank0.json').exists()
    assert (case / 'two_nan' / 'nonfinite_loss_rank1.json').exists()
