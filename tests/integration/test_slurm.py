"""Training, testing and transfer through a real Slurm, on two CPU processes; a job that is stopped and requeued."""

import json
import re
import subprocess
import sys
import time

import pytest
import torch

from mmdecouple.engine import read_checkpoint
from tests.integration import slurm
from tests.integration.runs import ROOT, train, write_case
from tests.integration.test_resume import ITERATIONS, assert_same_run, last
from tests.integration.transfer_case import command, write_transfer_case
from tests.test_tools.conftest import TOY_CONFIG, TOY_MODULE

PAGE = ROOT / 'docs' / 'clusters.md'
CPU = ('--device', 'cpu')
SEED = ('randomness.seed=5',)


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    """The environment of a running Slurm."""
    reason = slurm.lacking()
    if reason:
        pytest.skip(reason)
    with slurm.cluster(tmp_path_factory.mktemp('slurm')) as found:
        yield found | dict(OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT), PYTHON=sys.executable)


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp('runs'))


@pytest.fixture(scope='module')
def left_alone(case):
    """Last checkpoint of a run in two processes of torchrun that nobody stops."""
    done = train(case, 'alone', processes=2, options=('train_dataloader.batch_size=2',))
    assert done.returncode == 0, done.stderr[-3000:]
    return last(case, 'alone')


def run(words, environment, **more):
    done = subprocess.run(
        [str(word) for word in words], cwd=ROOT, env=environment | more, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_two_tasks_train_and_test_through_the_scripts(environment, tmp_path):
    (tmp_path / 'toy_module.py').write_text(TOY_MODULE)
    (tmp_path / 'toy_line.py').write_text(TOY_CONFIG)
    more = dict(PYTHONPATH=f'{ROOT}:{tmp_path}', GPUS='2', CPUS_PER_TASK='1')
    config, checkpoint = tmp_path / 'toy_line.py', tmp_path / 'srun' / 'epoch_1.pth'
    run([ROOT / 'tools/slurm_train.sh', 'debug', 'train', config, tmp_path / 'srun', *CPU], environment, **more)
    words = [config, checkpoint, *CPU, '--out', tmp_path / 'measured']
    run([ROOT / 'tools/slurm_test.sh', 'debug', 'test', *words], environment, **more)
    assert json.loads((tmp_path / 'measured' / 'metrics.json').read_text())['count'] == 8
    # One process with the joint batch takes the same steps.
    one = ['--work-dir', tmp_path / 'one', '--cfg-options', 'train_dataloader.batch_size=4']
    run([sys.executable, ROOT / 'tools/train.py', config, *CPU, *one], environment, **more)
    two, alone = (read_checkpoint(str(path))['state_dict'] for path in (checkpoint, tmp_path / 'one' / 'epoch_1.pth'))
    torch.testing.assert_close(two, alone)


@pytest.mark.slow
def test_a_detector_is_fine_tuned_and_tested_by_two_tasks(environment, tmp_path):
    case = write_transfer_case(tmp_path)
    more = ('--launcher', 'slurm', '--gpus', '2', '--partition', 'debug')
    # Norms are synchronized on GPUs only.
    parts = ('backbone', 'neck', 'roi_head.bbox_head', 'roi_head.mask_head')
    options = tuple(f'model.{part}.norm_cfg.type=BN' for part in parts)
    run(command(case, 'coco-mask-rcnn-fpn', *more, options=options), environment, CPUS_PER_TASK='1')
    (row,) = [json.loads(line) for line in (case / 'out' / 'results.jsonl').read_text().splitlines()]
    assert row['batch'] == '2 x 2' and 0 <= row['metrics']['coco/bbox_mAP'] <= 1


def submit(folder, environment, *words, options=()):
    """Submits the script of the page; returns its job number and the file of its output."""
    script, log = folder / 'pretrain.sbatch', folder / 'job.log'
    script.write_text(re.search(r'```bash\n(#!/bin/bash\n.*?)```', PAGE.read_text(), re.DOTALL)[1])
    fitted = ['--nodes=1', '--ntasks-per-node=2', '--gpus-per-node=2', '--cpus-per-task=1', '--time=10']
    words = ['sbatch', '--parsable', f'--output={log}', f'--chdir={ROOT}', *fitted, *options, script, *words]
    return run(words, environment).strip(), log


def wait(condition, what, log, environment, seconds=150):
    deadline = time.monotonic() + seconds
    while not condition():
        text = log.read_text()[-3000:] if log.exists() else ''
        assert time.monotonic() < deadline, f'{what} did not come about: {text}\n{slurm.report(environment)}'
        time.sleep(0.1)


def state(environment, job):
    return slurm.ask(environment, 'squeue', '-h', '-j', job, '-o', '%T').strip()


def start_again(environment, job, log):
    """Starts a requeued job, which Slurm holds back for two minutes."""
    wait(lambda: state(environment, job) == 'PENDING', 'the requeued job', log, environment)
    # slurmd refuses to launch a job in the second in which it ended it, and the job then fails.
    time.sleep(3)
    slurm.ask(environment, 'scontrol', 'update', f'JobId={job}', 'StartTime=now')


def stopped_and_continued(environment, case, name, stop, folder, options=()):
    """Stops the first life of a job at iteration 8 with a function of the job's number; returns log and checkpoint."""
    work_dir, config = case / name, case / f'{name}.py'
    # The run waits at iteration 8 until the file `go` exists.
    hook = dict(type='WaitHook', iteration=8, file=str(folder / 'go'))
    config.write_text(f"_base_ = ['densecl-d.py']\ncustom_hooks = _base_.custom_hooks + [{hook!r}]\n")
    words = [config, work_dir, *CPU, '--cfg-options', *SEED, 'train_dataloader.batch_size=2']
    job, log = submit(folder, environment, *words, options=options)
    wait(lambda: (folder / 'go.0').exists() and (folder / 'go.1').exists(), 'iteration 8', log, environment)
    stop(job)
    (folder / 'go').touch()
    wait(lambda: (work_dir / 'interrupted.pth').exists(), 'a checkpoint', log, environment)
    start_again(environment, job, log)
    wait(lambda: re.search('Resume: |resumed epoch', log.read_text()), 'a second start', log, environment)
    wait(lambda: (work_dir / f'iter_{ITERATIONS}.pth').exists(), 'the end', log, environment)
    wait(lambda: not state(environment, job), 'the end of the job', log, environment)
    assert 'resumed epoch' in log.read_text() and not (work_dir / 'interrupted.pth').exists()
    return log.read_text(), last(case, name)


@pytest.mark.parametrize('order', [('scontrol', 'requeue'), ('scancel', '--signal=USR1')], ids=['requeue', 'USR1'])
def test_a_job_that_is_stopped_is_requeued_and_ends_with_the_same_bytes(environment, case, left_alone, order, tmp_path):
    def stop(job):
        slurm.ask(environment, *order, job)
        time.sleep(1)

    text, checkpoint = stopped_and_continued(environment, case, f'job_{order[0]}', stop, tmp_path)
    assert f'Stopped by {"SIGTERM" if order[0] == "scontrol" else "SIGUSR1"}' in text
    assert_same_run(checkpoint, left_alone)


@pytest.mark.slow
def test_a_job_is_requeued_before_its_time_limit_and_ends_with_the_same_bytes(environment, case, left_alone, tmp_path):
    # Slurm sends the signal within the minute before the stated time: here, in the first 60 seconds or soon after.
    options = ('--time=2', '--signal=USR1@60')
    text, checkpoint = stopped_and_continued(
        environment, case, 'time_limit', lambda job: time.sleep(80), tmp_path, options
    )
    assert 'Stopped by SIGUSR1' in text and 'TIME LIMIT' not in text
    assert_same_run(checkpoint, left_alone)
