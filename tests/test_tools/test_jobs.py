import fcntl
import os
import signal
import subprocess
import sys
import time
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from mmdecouple.runs.jobs import Job, JobFailed, run_jobs
from mmdecouple.runs.progress_hook import ASKED
from mmdecouple.utils import progress
from mmdecouple.utils.progress import State, read_line

from .conftest import run


def python_job(folder: Path, name: str, code: str) -> Job:
    return Job(name, [sys.executable, '-c', code], folder / f'{name}.log')


def quiet() -> Console:
    return Console(file=StringIO(), width=200)


SPAN = """
import os, time
print("from", time.time(), flush=True)
time.sleep(0.6)
print("to", time.time(), os.environ["OMP_NUM_THREADS"])
"""


def test_all_jobs_run_and_never_more_than_the_slots_at_once(tmp_path: Path) -> None:
    jobs = [python_job(tmp_path, str(place), SPAN) for place in range(4)]
    run_jobs('Testing', jobs, slots=2, threads=3, console=quiet())
    events = []
    for job in jobs:
        words = job.log.read_text().split()
        assert words[-1] == '3'
        events += [(float(words[1]), 1), (float(words[3]), -1)]
    running = [sum(step for _, step in sorted(events)[: place + 1]) for place in range(8)]
    assert max(running) == 2


def test_progress_is_read_over_torn_lines(tmp_path: Path) -> None:
    job = python_job(tmp_path, 'a', 'pass')
    job.start(1)
    job.process.wait()
    seen = []
    first, second, third = (f'{State("steps", done, 4).line()}\n' for done in (1, 2, 3))
    for piece in (first + second[:9], second[9:20], second[20:], 'noise\n{"progress": 5}\n' + third):
        with job.log.open('a') as sink:
            sink.write(piece)
        seen.append(job.news())
    assert [state and state[:3] for state in seen] == [('steps', 1, 4), None, ('steps', 2, 4), ('steps', 3, 4)]
    assert list(job.tail) == ['noise', '{"progress": 5}']


def test_a_live_display_shows_a_bar_a_job_with_time_left(tmp_path: Path) -> None:
    code = (
        'import time\nfrom mmdecouple.utils.progress import Lines\nshow = Lines(0)\n'
        'for i in range(1, 9): show("steps", i, 8); time.sleep(0.1)'
    )
    text = StringIO()
    run_jobs(
        'Training',
        [python_job(tmp_path, 'DenseCL', code)],
        1,
        console=Console(file=text, width=120, force_terminal=True),
    )
    shown = text.getvalue()
    assert 'Training DenseCL' in shown and '8/8' in shown and 'left' in shown


def test_a_failing_child_stops_the_others_and_shows_its_last_lines(tmp_path: Path) -> None:
    stopped = tmp_path / 'stopped'
    wait = (
        'import signal, sys, time, pathlib\n'
        'def stop(*_):\n'
        f'    pathlib.Path({str(stopped)!r}).write_text("saved"); sys.exit(0)\n'
        'signal.signal(signal.SIGTERM, stop)\n'
        'time.sleep(60)'
    )
    fail = 'import time; time.sleep(1.5); print("about to fail"); raise SystemExit(3)'
    jobs = [python_job(tmp_path, 'patient', wait), python_job(tmp_path, 'broken', fail)]
    with pytest.raises(JobFailed, match=r'Testing broken failed with exit code 3; .*broken.log') as failed:
        run_jobs('Testing', jobs, slots=2, console=quiet())
    assert failed.value.tail == ['about to fail']
    assert stopped.read_text() == 'saved'


def test_of_a_failing_child_the_reason_is_shown_once_and_no_page_behind_it(tmp_path: Path) -> None:
    fail = (
        'for _ in range(8): print("mmdecouple: error: no such data; name others.")\n'
        'for line in range(99): print("launcher", line)\n'
        'raise SystemExit(1)'
    )
    with pytest.raises(JobFailed) as failed:
        run_jobs('Testing', [python_job(tmp_path, 'launched', fail)], slots=1, console=quiet())
    assert failed.value.tail == ['mmdecouple: error: no such data; name others.']


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_every_child_save(sent: int, tmp_path: Path) -> None:
    child = (
        'import signal, sys, time\n'
        'def stop(*_):\n'
        '    time.sleep(0.5); print("saved"); sys.exit(0)\n'
        'signal.signal(signal.SIGTERM, stop); print("ready", flush=True)\n'
        'time.sleep(60)'
    )
    parent = (
        'import sys; from pathlib import Path; from mmdecouple.runs.jobs import Job, run_jobs\n'
        f'jobs = [Job(n, [sys.executable, "-c", {child!r}], Path({str(tmp_path)!r}) / n)'
        ' for n in "ab"]\n'
        'try:\n    run_jobs("Testing", jobs, 2)\nexcept KeyboardInterrupt:\n    sys.exit(130)'
    )
    root = Path(__file__).resolve().parents[2]
    # A suite that a shell runs in the background ignores Ctrl-C, and so would its children.
    process = subprocess.Popen(
        [sys.executable, '-c', parent],
        cwd=root,
        env={**os.environ, 'PYTHONPATH': str(root)},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not all((tmp_path / name).is_file() and 'ready' in (tmp_path / name).read_text() for name in 'ab'):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(sent)
    assert process.wait(60) == 130
    assert [(tmp_path / name).read_text().split()[-1] for name in 'ab'] == ['saved', 'saved']


def test_a_job_waits_for_those_it_is_after_and_falls_with_them(tmp_path: Path) -> None:
    seen = []

    def job(name: str, code: str = 'pass', after: tuple = (), done=None) -> Job:
        made = python_job(tmp_path, name, code)
        made.after, made.done = after, done or (lambda: seen.append(name))
        return made

    def spoiled() -> None:
        raise ValueError('no checkpoint')

    jobs = [
        job('fails', 'raise SystemExit(3)'),
        job('lost', after=('fails',)),
        job('slow', SPAN),
        job('waits', after=('slow',)),
        job('spoiled', done=spoiled),
        job('free'),
    ]
    failures = run_jobs('Testing', jobs, 2, console=quiet(), keep_going=True)
    assert [str(failure).split(';')[0] for failure in failures] == [
        'Testing fails failed with exit code 3',
        'Testing spoiled failed: no checkpoint',
    ]
    assert sorted(seen) == ['free', 'slow', 'waits'] and seen.index('slow') < seen.index('waits')
    assert not (tmp_path / 'lost.log').exists()


@pytest.mark.skipif(sys.platform != 'linux', reason='parents tell children of their death on Linux only')
def test_children_of_a_killed_process_save_and_hold_its_lock_until_then(tmp_path: Path) -> None:
    child = (
        'import signal, sys, time\n'
        'def stop(*_):\n'
        '    time.sleep(1.5); print("saved", flush=True); sys.exit(0)\n'
        'signal.signal(signal.SIGTERM, stop); print("ready", flush=True)\n'
        'time.sleep(60)'
    )
    log, lock = tmp_path / 'log', tmp_path / 'lock'
    parent = (
        'import fcntl; from pathlib import Path; from mmdecouple.runs.jobs import Job, run_jobs\n'
        f'held = open({str(lock)!r}, "w"); fcntl.flock(held, fcntl.LOCK_EX)\n'
        f'run_jobs("Testing", [Job("a", [{sys.executable!r}, "-c", {child!r}], Path({str(log)!r}),'
        ' held_files=[held])], 1)'
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, '-c', parent], cwd=root, env={**os.environ, 'PYTHONPATH': str(root)})
    deadline = time.monotonic() + 60
    while not log.is_file() or 'ready' not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.wait()
    with lock.open('w') as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX)
    assert log.read_text().split()[-1] == 'saved'


def test_lines_of_progress_tell_the_time_left_and_are_read_back(monkeypatch):
    said, now = [], iter((0.0, 10.0, 11.0, 40.0))
    monkeypatch.setattr(progress.time, 'monotonic', lambda: next(now))
    show = progress.Lines(every=5, say=said.append)
    # Resumed at 20 of 100; the third report comes too soon to be said.
    for done in (20, 40, 42, 100):
        show('training', done, 100)
    assert [read_line(line) for line in said] == [
        State('training', 20, 100, None),
        State('training', 40, 100, 30.0),
        State('training', 100, 100, 0.0),
    ]
    now = iter((0.0, 10.0, 100.0, 110.0))
    for done in (0, 5, 1, 2):
        show('epochs', done, 10)
    # The fourth report belongs to a second stage of this title, which began at 100 s.
    assert read_line(said[-1]) == State('epochs', 2, 10, 80.0)
    assert read_line('11/23 10:00:00 - mmengine - INFO - Epoch(train)  [3][ 20/100]') is None


@pytest.mark.parametrize('asked', ['0', '1'])
def test_a_training_that_a_job_started_says_how_far_it_is(toy, tmp_path, asked):
    said = run(
        [sys.executable, '-m', 'mmdecouple.commands.train', toy / 'toy_line.py', '--out', tmp_path / 'run'],
        toy_folder=toy,
        cwd=tmp_path,
        extra_env={ASKED: asked},
    )
    states = [state[:3] for state in map(read_line, said.splitlines()) if state]
    assert states[:1] + states[-1:] == ([('training', 0, 4), ('training', 4, 4)] if asked == '1' else [])
