"""Kills at file operations: all are seen, a process dies where it is planned, and a short campaign passes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT_TOOLS, ROOT

WRITER = """
import os, shutil, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from file_operations import FileOperations, Kill
from mmdecouple.utils.files import write_bytes

folder = Path(sys.argv[2]).resolve()
operations = FileOperations(folder, folder.with_name('operations'), [])
operations.install()
(folder.with_name('outside')).write_text('not counted')
os.mkdir(folder)
operations.begin(Kill(0, int(sys.argv[3]), sys.argv[4]) if len(sys.argv) > 3 else None)
os.getppid()  # begins here
write_bytes(folder / 'whole', b'whole')
with open(folder / 'log', 'a') as log:
    log.write('first\\n')
    log.flush()
    log.write('second\\n')
with open(folder / 'log', 'r+') as log:
    log.truncate(3)
(folder / 'sub').mkdir()
os.link(folder / 'log', folder / 'sub' / 'link')
os.rename(folder / 'log', folder / 'renamed')
(folder / 'renamed').read_text()
os.utime(folder / 'renamed')
os.symlink('renamed', folder / 'symlink')
(folder / 'whole').unlink()
shutil.rmtree(folder / 'sub')
(folder.with_name('outside')).unlink()
operations.end()
os.getppid()  # ends here
"""
LINES = [
    'mkdir .',
    'open .whole.HOST.PID.TOKEN.partial',
    'write .whole.HOST.PID.TOKEN.partial',
    'fsync .whole.HOST.PID.TOKEN.partial',
    'replace whole',
    'fsync .',
    'open log',
    'write log',
    'write log',
    'open log',
    'ftruncate log',
    'mkdir sub',
    'link sub/link',
    'rename renamed',
    'utime renamed',
    'symlink symlink',
    'unlink whole',
    'unlink sub/link',
    'rmdir sub',
]
# Calls of the kernel that change files.
CALLS = (
    'open,openat,write,fsync,ftruncate,mkdir,mkdirat,link,linkat,rename,utimensat,symlink,symlinkat,unlink,unlinkat,'
    'rmdir'
)


def write(folder: Path, *kill: object, before: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """Exit code of the writer, and the lines that it listed."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [*before, sys.executable, '-c', WRITER, str(CHECKOUT_TOOLS / 'reliability'), str(folder)]
    done = subprocess.run(
        [*command, *map(str, kill)], env=dict(os.environ, PYTHONPATH=str(ROOT)), capture_output=True, text=True
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    listed = folder.with_name('operations').read_text().splitlines()
    return done.returncode, [re.sub(r'whole\.\S+\.PID\.\w{8}', 'whole.HOST.PID.TOKEN', line) for line in listed]


def test_every_change_of_the_folder_is_listed_and_nothing_else(tmp_path):
    assert write(tmp_path / 'work') == (0, LINES)


@pytest.mark.parametrize(
    'number, moment, left',
    [
        (2, 'before', {'partial': ''}),
        (2, 'torn', {'partial': 'wh'}),
        (2, 'after', {'partial': 'whole'}),
        (4, 'after', {'whole': 'whole'}),
        (8, 'torn', {'whole': 'whole', 'log': 'first\nsec'}),
        (10, 'after', {'whole': 'whole', 'log': 'fir'}),
    ],
)
def test_the_process_dies_where_it_is_planned(number, moment, left, tmp_path):
    code, listed = write(tmp_path / 'work', number, moment)
    assert code == -signal.SIGKILL and listed == LINES[: number + 1]
    found = {path.name.rpartition('.')[2]: path.read_text() for path in (tmp_path / 'work').iterdir() if path.is_file()}
    assert found == left


@pytest.mark.skipif(shutil.which('strace') is None, reason='strace is not installed')
def test_the_kernel_sees_the_same_operations(tmp_path):
    trace = tmp_path / 'trace'
    _, listed = write(tmp_path / 'work', before=('strace', '-y', '-o', str(trace), '-e', f'trace={CALLS},getppid'))
    _, seen, _ = re.split(r'getppid\(\).*\n', trace.read_text())
    calls = [
        re.match(r'(\w+?)(?:ns)?(?:at)?\(', line)[1]
        for line in seen.splitlines()
        if str(tmp_path / 'work') in line and 'O_RDONLY' not in line
    ]
    assert calls == [line.partition(' ')[0].replace('replace', 'rename') for line in listed]


def campaign(out: Path, *arguments: str) -> tuple[int, str, list[dict]]:
    """Exit code, output and rows of the program."""
    done = subprocess.run(
        [sys.executable, str(CHECKOUT_TOOLS / 'reliability/chaos.py'), '--out', str(out), *arguments],
        env=dict(os.environ, OMP_NUM_THREADS='1', COLUMNS='120'),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr[-3000:]
    return done.returncode, done.stdout, [json.loads(line) for line in (out / 'kills.jsonl').read_text().splitlines()]


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / 'runs').mkdir()
    done = subprocess.run(
        [sys.executable, str(CHECKOUT_TOOLS / 'reliability/chaos.py'), '--out', str(tmp_path)],
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.count('\n') == 1 and 'holds other files' in done.stderr
    assert os.listdir(tmp_path) == ['runs']


def test_a_run_that_is_killed_while_it_saves_resumes_to_the_same_bytes(tmp_path):
    few = ('--methods', 'densecl-d', '--ranks', '1', '--windows', 'save', '--most')
    code, said, rows = campaign(tmp_path, *few, '6')
    assert code == 0 and len(rows) >= 5, said
    assert {row['outcome'] for row in rows} == {'same bytes'} and any('partial' in row['kill'] for row in rows)
    assert re.search(rf'densecl-d\W+1\W+save\W+{len(rows)}\W+\d+\W+{len(rows)}\W', said)


@pytest.mark.slow
def test_two_ranks_that_die_beside_each_other_resume(tmp_path):
    code, said, rows = campaign(tmp_path, '--methods', 'densecl-d', '--ranks', '2', '--windows', 'save', '--most', '8')
    assert code == 0, said
    assert {row['kill'].partition(',')[0] for row in rows} == {'rank 0', 'rank 1'}
