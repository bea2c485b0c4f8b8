"""Runs whose optimizer state is divided among two processes, with accumulated gradients and recomputed blocks."""

import os
import subprocess
import sys

import pytest

from mmdecouple.engine import read_checkpoint
from tests.integration.runs import ROOT, train, write_case
from tests.integration.test_resume import differing

pytestmark = pytest.mark.slow

ITERATIONS = 18
SIZES = (
    'train_dataloader.batch_size=2',
    'optim_wrapper.accumulative_counts=3',
    'model.backbone.with_cp=True',
    'default_hooks.checkpoint.interval=6',
    'default_hooks.checkpoint.max_keep_ckpts=-1',
)
# As in the shipped configs of large networks.
SHARDED = (
    *SIZES,
    'optim_wrapper.sharded=True',
    'model_wrapper_cfg.type=MMDistributedDataParallel',
    'model_wrapper_cfg.broadcast_buffers=False',
    'model_wrapper_cfg.gradient_as_bucket_view=True',
)
PROBES = """
_base_ = ['ibot-d.py']
test_dataloader = dict(
    batch_size=8, num_workers=0, collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ProbeDataset', size=32, cell=8, measures=[dict(type='ContextShift', objects=8)],
                 objects=dict(type='SceneObjects', num_images=20, scenes=dict(size=32, objects=(1, 2)))))
test_evaluator = dict(type='CouplingMetric')
test_cfg = dict()
"""


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp('sharding'))


@pytest.fixture(scope='module')
def divided(case):
    """Folder of the run with a divided state, all of whose checkpoints are kept."""
    return run(case, 'divided', SHARDED)


def run(case, work_dir, options, *arguments, processes=2):
    done = train(case, work_dir, *map(str, arguments), method='ibot-d', options=options, processes=processes)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'inside an accumulation' not in done.stdout + done.stderr
    return case / work_dir


def assert_same(first, second, iteration=ITERATIONS):
    first, second = (read_checkpoint(str(folder / f'iter_{iteration}.pth')) for folder in (first, second))
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert differing(first[part], second[part], part) == []


def test_every_checkpoint_of_a_divided_run_is_that_of_the_whole_one(case, divided):
    whole = run(case, 'whole', SIZES)
    for iteration in (6, 12, 18):
        assert_same(divided, whole, iteration)
    # Three iterations make a step: the state counts two steps, and the teacher has moved.
    state = read_checkpoint(str(divided / 'iter_6.pth'))
    assert {float(each['step']) for each in state['optimizer']['state'].values()} <= {1.0, 2.0}


@pytest.mark.parametrize('options', [SHARDED, SIZES], ids=['divided', 'whole'])
def test_a_divided_run_is_resumed_to_the_same_bytes(case, divided, options):
    resumed = run(case, f'resumed{len(options)}', options, '--resume', divided / 'iter_6.pth')
    assert_same(divided, resumed)


def test_a_divided_run_goes_on_and_is_measured_in_one_process(case, divided):
    options = ('train_dataloader.batch_size=4', *SHARDED[1:])
    alone = run(case, 'alone', options, '--resume', divided / 'iter_12.pth', '--elastic', processes=1)
    assert read_checkpoint(str(alone / 'iter_18.pth'))['meta']['iter'] == ITERATIONS
    config = case / 'probes.py'
    config.write_text(PROBES)
    command = [
        sys.executable,
        str(ROOT / 'tools/test.py'),
        str(config),
        str(divided / 'iter_18.pth'),
        '--device',
        'cpu',
    ]
    command += ['--work-dir', str(case / 'measured'), '--cfg-options', *SHARDED[1:]]
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'coupling/' in done.stdout + done.stderr
