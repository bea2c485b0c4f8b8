"""The acceptance test on a GPU, as far as it can be run without one."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conftest import CHECKOUT_TOOLS, run

BENCHMARK = CHECKOUT_TOOLS / 'benchmark'
PART = """
import json, sys, time
words = sys.argv
kind, file = words[words.index('--run') + 1], words[words.index('--rows') + 1]
with open(file, 'w') as rows:
    print(json.dumps(dict(name='first', passed=kind != 'bad', seconds=0.5)), file=rows, flush=True)
    if kind == 'fails':
        raise ValueError('the reason')
    if kind == 'hangs':
        rows.write('{"name": "half')
        rows.flush()
        time.sleep(60)
"""


@pytest.fixture(scope='module')
def tools():
    sys.path.insert(0, str(BENCHMARK))
    import gpu_report
    import idle

    yield gpu_report, idle
    sys.path.remove(str(BENCHMARK))


def test_a_part_that_fails_or_hangs_keeps_its_rows(tools, tmp_path, monkeypatch):
    report, _ = tools
    program = tmp_path / 'part.py'
    program.write_text(PART)
    monkeypatch.setattr(sys, 'argv', ['gpu_acceptance.py'])
    found = {kind: report.run_part(kind, str(program), 2) for kind in ('good', 'bad', 'fails', 'hangs')}
    assert [part['status'] for part in found.values()] == ['passed', 'failed', 'failed', 'out of time']
    assert all([row['name'] for row in part['rows']] == ['first'] for part in found.values())
    assert found['fails']['note'] == 'ValueError: the reason'
    whole = dict(machine=dict(device='x', commit=None), tiny=False, batch=8, parts=list(found.values()))
    assert '| hangs | out of time |' in report.markdown(whole) and '| first | failed |' in report.markdown(whole)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=8))
def test_overlapping_kernels_count_once(tools, spans):
    intervals = [(begin, begin + length) for begin, length in spans]
    moments = {moment for begin, end in intervals for moment in range(begin, end)}
    assert tools[1].covered(intervals) == len(moments)


def test_the_script_runs_the_selected_part_and_says_where(tmp_path):
    words = ['--device', 'cpu', '--tiny', '--parts', 'knn', '--out', 'gpu']
    out = run(['bash', BENCHMARK / 'gpu_check.sh', *words], toy_folder=tmp_path, cwd=tmp_path)
    report = json.loads((tmp_path / 'gpu' / 'gpu.json').read_text())
    assert report['passed'] and [part['name'] for part in report['parts']] == ['knn']
    assert {'device', 'driver', 'torch', 'commit'} <= report['machine'].keys()
    assert (tmp_path / 'gpu' / 'gpu.md').read_text().strip() in out
    assert '20 neighbors of 200 queries among 2,000 rows | passed' in out


@pytest.mark.slow
def test_all_parts_pass_at_tiny_sizes(tmp_path):
    words = ['bash', BENCHMARK / 'gpu_check.sh', '--device', 'cpu', '--tiny', '--out', 'gpu']
    run(words, toy_folder=tmp_path, cwd=tmp_path)
    parts = json.loads((tmp_path / 'gpu' / 'gpu.json').read_text())['parts']
    assert [part['status'] for part in parts] == ['passed'] * 6
