"""Training on two hosts: as on one, and what happens when one of them, or a process, is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.hosts import lacking, two_hosts
from tests.integration.runs import ROOT, train, write_case
from tests.integration.test_agents import below
from tests.integration.test_resume import ITERATIONS, assert_same_run, last

HALF = 'train_dataloader.batch_size=2'


@pytest.fixture(scope='module')
def hosts():
    reason = lacking()
    if reason:
        pytest.skip(reason)
    with two_hosts() as pair:
        yield pair


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp('hosts'))


@pytest.fixture(scope='module')
def alone(case):
    """Last checkpoint of the run in two processes of one host."""
    done = train(case, 'alone', processes=2, options=(HALF,))
    assert done.returncode == 0, done.stderr[-3000:]
    return last(case, 'alone')


def start(hosts, case, work_dir, *words, config='densecl-d', **environment):
    """`dist_train.sh` on both hosts, one process each, with logs beside the work folder."""
    runs = []
    for host in hosts:
        log = open(case / f'{work_dir}_{host.address}.log', 'w')
        command = [ROOT / 'tools/dist_train.sh', case / f'{config}.py', 1, '--work-dir', case / work_dir]
        command += ['--device', 'cpu', *words, '--cfg-options', 'randomness.seed=5', HALF]
        given = dict(OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT), PYTHON=sys.executable, **host.environment(hosts[0]))
        runs.append(
            subprocess.Popen(
                host.command(*map(str, command)), stdout=log, stderr=log, cwd=ROOT, env=os.environ | given | environment
            )
        )
    return runs


def said(case, work_dir, host):
    return (case / f'{work_dir}_{host.address}.log').read_text()


@pytest.mark.slow
def test_a_host_that_is_done_later_is_not_taken_for_lost(hosts, case):
    hooks = [dict(type='WatchdogHook', peer_timeout=5), dict(type='LateHook', seconds=15)]
    (case / 'late.py').write_text(f"_base_ = ['densecl-d.py']\ncustom_hooks = {hooks!r}\n")
    runs = start(hosts, case, 'late', config='late')
    assert [run.wait(200) for run in runs] == [0, 0], said(case, 'late', hosts[0])[-3000:]


def works(pid):
    """Whether a process is there and has not ended: an agent that waits for the other host reaps it late."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def waiting(hosts, case, work_dir, rank=None):
    """A config whose processes, or one of them, wait at iteration 9 for a file."""
    hook = dict(type='WaitHook', iteration=9, file=str(case / f'{work_dir}.go'), rank=rank)
    watch = dict(type='WatchdogHook', peer_timeout=10)
    text = f"_base_ = ['densecl-d.py']\ncustom_hooks = _base_.custom_hooks + [{watch!r}, {hook!r}]\n"
    (case / f'{work_dir}.py').write_text(text)


def reached(case, work_dir, runs, hosts):
    deadline = time.monotonic() + 150
    while not all((case / f'{work_dir}.go.{rank}').exists() for rank in (0, 1)):
        assert all(run.poll() is None for run in runs), said(case, work_dir, hosts[0])[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_hosts_learn_what_one_learns(hosts, case, alone):
    runs = start(hosts, case, 'two')
    assert [run.wait(200) for run in runs] == [0, 0], said(case, 'two', hosts[0])[-3000:]
    assert_same_run(last(case, 'two'), alone)


@pytest.mark.timeout(600)
def test_a_process_that_is_killed_is_restarted_and_the_run_ends_with_the_same_bytes(hosts, case, alone):
    waiting(hosts, case, 'restart')
    runs = start(hosts, case, 'restart', config='restart', MAX_RESTARTS='1')
    reached(case, 'restart', runs, hosts)
    victim = max(below(runs[1].pid))
    (case / 'restart.go').touch()
    os.kill(victim, signal.SIGKILL)
    assert [run.wait(250) for run in runs] == [0, 0], said(case, 'restart', hosts[0])[-3000:]
    assert 'resumed epoch' in said(case, 'restart', hosts[0])
    assert_same_run(last(case, 'restart'), alone)


def test_an_agent_that_is_killed_ends_the_run_on_both_hosts(hosts, case):
    waiting(hosts, case, 'agent')
    runs = start(hosts, case, 'agent', config='agent')
    reached(case, 'agent', runs, hosts)
    ranks = [max(below(run.pid)) for run in runs]
    runs[1].kill()
    killed = time.monotonic()
    while any(map(works, ranks)):
        # The process of the killed agent cannot save, because it waits, and ends after its time for that.
        if not works(ranks[1]):
            (case / 'agent.go').touch()
        assert time.monotonic() - killed < 60
        time.sleep(0.1)
    # The other agent waits up to five minutes for the one that was killed.
    runs[0].kill()
    runs[0].wait()
    lines = {one for one in said(case, 'agent', hosts[0]).splitlines() if one.startswith('mmdecouple: error: ')}
    assert len(lines) == 1 and 'another process of this run does not answer' in lines.pop()
    assert not (case / 'agent' / f'iter_{ITERATIONS}.pth').exists()


def test_a_host_that_is_cut_off_ends_the_run_on_both(case):
    reason = lacking()
    if reason:
        pytest.skip(reason)
    with two_hosts() as hosts:
        waiting(hosts, case, 'cut')
        runs = start(hosts, case, 'cut', config='cut')
        reached(case, 'cut', runs, hosts)
        ranks = [max(below(run.pid)) for run in runs]
        hosts[1].cut_off()
        (case / 'cut.go').touch()
        cut = time.monotonic()
        while any(map(works, ranks)):
            assert time.monotonic() - cut < 60
            time.sleep(0.1)
        # torchrun on the host without the rendezvous waits for its own timeouts.
        for run in runs:
            run.kill()
            run.wait()
        for host, line in zip(hosts, ('host of rank 1 has not answered', 'has not reached the host of rank 0')):
            lines = {one for one in said(case, 'cut', host).splitlines() if one.startswith('mmdecouple: error: ')}
            assert len(lines) == 1 and line in lines.pop()
    assert not (case / 'cut' / f'iter_{ITERATIONS}.pth').exists()
