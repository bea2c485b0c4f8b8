"""The campaign of mutants tells tests that fail, pass, hang or die from one another, and takes its mutants back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import os, time

def test_right(): pass
def test_wrong(): assert 1 == 2
def test_endless(): time.sleep(60)
def test_deadly(): os._exit(0 if os.environ.get('calm') else 3)
"""
DRIVER = """
import json, sys
from pathlib import Path
from forked_tests import run_forked
print(json.dumps([run_forked([f'test_small.py::{name}' for name in names], limit, Path('output.txt'))[:2]
                  for names, limit in json.loads(sys.argv[1])]))
"""


def test_a_run_of_tests_is_judged_by_how_it_ends(tmp_path):
    (tmp_path / 'test_small.py').write_text(TESTS)
    runs = [
        (['test_right'], 60),
        (['test_right', 'test_wrong'], 60),
        (['test_endless'], 3),
        (['test_deadly'], 60),
        ([], 60),
    ]
    done = subprocess.run(
        [sys.executable, '-c', DRIVER, json.dumps(runs)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=dict(PYTHONPATH=f'{ROOT}:{ROOT / "tools/reliability"}'),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (passed, _), (failed, line), (hung, after), (died, _), (none, _) = json.loads(done.stdout)
    assert (passed, failed, hung, died, none) == ('survived', 'noticed', 'noticed', 'noticed', 'not run')
    assert 'test_wrong' in line and after == 'not done after 3 s'


def test_mutants_are_noticed_by_tests_that_run_them(tmp_path):
    pytest.importorskip('cosmic_ray')
    pytest.importorskip('pytest_cov')
    room = tmp_path / 'mmdecouple' / 'masks'
    room.mkdir(parents=True)
    code = 'LIMIT = 3\n\n\ndef within(value: int | None) -> bool:\n    return value < LIMIT\n'
    (room / 'limits.py').write_text(code)
    (tmp_path / 'test_limits.py').write_text(
        'import runpy\n\n\ndef test_limit():\n'
        "    within = runpy.run_path('mmdecouple/masks/limits.py')['within']\n"
        '    assert within(2) and not within(3)\n'
    )
    environment = dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    ran = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            '--cov=mmdecouple',
            '--cov-context=test',
            '--cov-report=',
            '--durations=0',
            '-p',
            'no:cacheprovider',
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    (tmp_path / 'durations.txt').write_text(ran.stdout)
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools/reliability/mutants.py'), '--mutants', '2', '--rooms', 'masks'],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    rows = [json.loads(line) for line in (tmp_path / 'work_dirs/mutants/seed_0.jsonl').read_text().splitlines()]
    assert done.returncode == 0 and [row['outcome'] for row in rows] == ['noticed'] * 2, done.stdout + done.stderr
    assert (room / 'limits.py').read_text() == code
