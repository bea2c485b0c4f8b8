import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import time

import pytest

from mmdecouple.engine import AtomicLocalBackend
from mmdecouple.runs.folder import LOCK_NAME, FolderInUse, hold_folder, release_folder
from mmdecouple.utils.errors import UnwritableFile, user_message
from mmdecouple.utils.files import host, remove_leftovers, write_bytes

from .processes import fork, in_another_process


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / 'run'
    path.mkdir()
    yield path
    release_folder(str(path))


def test_a_second_run_is_refused_in_one_line_that_names_host_and_process(folder, tmp_path):
    with in_another_process(lambda: hold_folder(str(folder)), tmp_path / 'ready') as child:
        before = (folder / LOCK_NAME).read_text()
        with pytest.raises(FolderInUse) as caught:
            hold_folder(str(folder))
        line = user_message(caught.value)
        assert host() in line and f'process {child}' in line and '\n' not in line and len(line) < 250
        assert os.listdir(folder) == [LOCK_NAME] and (folder / LOCK_NAME).read_text() == before


def test_a_killed_run_frees_its_folder_at_once_also_while_its_workers_live(folder, tmp_path):

    def hold_with_a_worker():
        hold_folder(str(folder))
        worker = fork(lambda: time.sleep(60))
        (tmp_path / 'worker').write_text(str(worker))

    with in_another_process(hold_with_a_worker, tmp_path / 'ready'):
        pass
    worker = int((tmp_path / 'worker').read_text())
    try:
        hold_folder(str(folder))
        os.kill(worker, 0)
    finally:
        os.kill(worker, signal.SIGKILL)
    assert json.loads((folder / LOCK_NAME).read_text())['pid'] == os.getpid()


def test_a_folder_that_was_deleted_and_taken_by_another_run_is_noticed(folder, tmp_path):
    hold_folder(str(folder))
    shutil.rmtree(folder)
    hold_folder(str(folder))
    assert (folder / LOCK_NAME).exists()
    shutil.rmtree(folder)
    with in_another_process(lambda: hold_folder(str(folder)), tmp_path / 'ready'), pytest.raises(FolderInUse):
        hold_folder(str(folder))


def test_a_file_system_without_locks_is_said(folder, monkeypatch):

    def flock(*_):
        raise OSError(errno.ENOTSUP, 'Operation not supported')

    monkeypatch.setattr(fcntl, 'flock', flock)
    with pytest.warns(UserWarning, match='has no locks'):
        hold_folder(str(folder))


def test_the_lock_takes_what_dead_writers_left_and_nothing_else(folder):
    dead = fork(lambda: None)
    os.waitpid(dead, 0)
    (folder / 'coupling').mkdir()
    gone = [
        f'.epoch_1.pth.{host()}.{dead}.00ff.partial',
        f'.a.b.pth.{host()}.{os.getpid()}.00ff.partial',
        f'coupling/.epoch_1.json.{host()}.{dead}.00ff.partial',
        '.of-an-old-version.partial',
    ]
    stay = [
        f'.epoch_1.pth.{host()}.1.00ff.partial',
        '.epoch_1.pth.another-host.7.00ff.partial',
        'epoch_1.pth',
        'notes.partial',
    ]
    for name in gone + stay:
        (folder / name).write_text('x')
    os.utime(folder / '.of-an-old-version.partial', (0, 0))
    (folder / '.chunks.partial').mkdir()
    hold_folder(str(folder))
    assert sorted(os.listdir(folder)) == sorted([*stay, LOCK_NAME, 'coupling', '.chunks.partial'])
    assert os.listdir(folder / 'coupling') == []


def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new_one(folder, monkeypatch):
    write_bytes(folder / 'a.pth', b'old')

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(UnwritableFile, match='No space left'):
        write_bytes(folder / 'a.pth', b'new')
    assert os.listdir(folder) == ['a.pth'] and (folder / 'a.pth').read_bytes() == b'old'


def test_two_writers_of_one_name_never_tear_it(folder):
    path = folder / 'iter_1.pth'
    contents = [bytes([value]) * 3_000_000 for value in (1, 2)]
    write_bytes(path, contents[0])

    def write(content):
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            AtomicLocalBackend().put(content, str(path))

    children = [fork(lambda content=content: write(content)) for content in contents]
    seen = []
    while not seen or any(os.waitpid(child, os.WNOHANG) == (0, 0) for child in children[:1]):
        seen.append(path.read_bytes())
    assert os.waitpid(children[1], 0)[1] == 0
    assert set(seen) <= set(contents) and len(seen) > 20
    assert os.listdir(folder) == ['iter_1.pth']


def test_a_killed_writer_leaves_what_the_next_lock_removes(folder):
    content = bytes(20_000_000)
    for _ in range(5):
        child = fork(lambda: [write_bytes(folder / 'a.pth', content) for _ in range(100)])
        while not list(folder.glob('.a.pth.*')):
            time.sleep(0.0005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    remove_leftovers(folder)
    assert set(os.listdir(folder)) <= {'a.pth'}
    assert not (folder / 'a.pth').exists() or (folder / 'a.pth').stat().st_size == len(content)


def test_the_name_of_the_host_is_a_part_of_a_file_name():
    assert host() and '/' not in host() and '.' not in host() and len(host()) <= len(socket.gethostname())


def test_many_processes_that_hurry_for_one_folder_never_hold_it_together(folder, tmp_path):

    def hurry(number):
        for _ in range(200):
            try:
                hold_folder(str(folder))
            except FolderInUse:
                continue
            mark = tmp_path / 'inside'
            mark.touch(exist_ok=False)
            mark.unlink()
            (tmp_path / f'got{number}').touch()
            release_folder(str(folder))

    children = [fork(lambda number=number: hurry(number)) for number in range(4)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(list(tmp_path.glob('got*'))) > 1 and os.listdir(folder) == []
