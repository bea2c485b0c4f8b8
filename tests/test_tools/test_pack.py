"""The tool packs, continues after a kill, checks, and refuses in one line what it cannot do."""

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from mmdecouple.commands import pack
from mmdecouple.datasets.packs import Pack

from .conftest import CHECKOUT_TOOLS

SCRIPT = CHECKOUT_TOOLS / 'dataset_tools' / 'pack.py'


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Runs the command in `tmp_path`; returns its exit code, what it printed, and the last line of its errors."""
    monkeypatch.chdir(tmp_path)

    def call_tool(*arguments):
        try:
            pack.main([*map(str, arguments)])
            code = 0
        except SystemExit as end:
            code = end.code
        written = capfd.readouterr()
        return code, written.out, written.err.rstrip().rpartition('\n')[2]

    return call_tool


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photos') / 'train'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        image = cv2.resize(rng.integers(0, 256, (40, 60, 3), np.uint8), (600, 400), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'{number:03d}.jpg'), image)
    (folder / '050.jpg').write_bytes(b'nothing')
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_killed_tool_continues_and_ends_with_the_same_bytes(photos, tmp_path, call):
    killed, whole = tmp_path / 'killed', tmp_path / 'whole'
    options = '--data', photos, '--shorter-side', '300', '--shard-size', '128KiB', '--out'
    command = [sys.executable, SCRIPT, *options, killed, '--workers', '2']
    process = subprocess.Popen(command, env=dict(os.environ, OMP_NUM_THREADS='1'), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (killed / 'shard-000001.tar').exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    code, said, _ = call(*options, killed, '--workers', '2')
    assert code == 0 and 'of 60 images are done already' in said
    assert '60 images' in said and '1 cannot be decoded and are listed in unreadable_images.txt' in said
    assert call(*options, whole, '--workers', '1')[0] == 0
    assert contents(killed) == contents(whole) and len(list(whole.glob('*.tar'))) > 5
    assert Pack(whole).settings == dict(shorter_side=300, quality=90)


def test_the_check_of_a_pack_names_the_damaged_images(photos, tmp_path, call):
    root = tmp_path / 'pack'
    assert call('--data', photos, '--out', root, '--workers', '1')[0] == 0
    code, said, _ = call('--data', f'pack:{root}', '--verify')
    assert code == 0 and '60 images have their checksums' in said
    data = bytearray((root / 'shard-000000.tar').read_bytes())
    data[5000] ^= 1
    (root / 'shard-000000.tar').write_bytes(data)
    code, said, error = call('--data', f'pack:{root}', '--verify')
    assert code == 1 and '000.jpg: its bytes in shard-000000.tar' in said and '001.jpg' not in said
    assert '1 of the 60 images' in error


@pytest.mark.parametrize(
    'arguments, expected',
    [
        (('--data', '{photos}'), 'give --data and --out to pack, or --data pack:DIR and --verify'),
        (('--data', '{photos}', '--out', 'a', '--verify'), 'give --data and --out to pack, or --data pack:DIR and'),
        (('--data', '{photos}', '--out', 'a', '--quality', '80'), 'give --shorter-side'),
        (('--data', '{photos}', '--out', 'a', '--shard-size', '1.5MB'), 'must be a size such as 512MiB'),
        (('--data', '{photos}', '--out', 'a', '--images', 'b'), '--images is called --data SPEC now'),
        (('{photos}', '--out', 'a'), 'the following arguments are required: --data'),
        (('--data', 'list:absent.json', '--out', 'a'), "'absent.json' does not exist"),
        (('--data', 'absent.json', '--out', 'a'), "data 'absent.json' is neither a file or folder nor one of folder"),
        (('--data', 'voc:a', '--out', 'a'), 'voc cannot be used here'),
        (('--data', '{photos}', '--verify'), 'folder cannot be used here; name one of pack:DIR'),
        (('--data', 'pack:absent', '--verify'), 'is not a finished pack'),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_leaves_nothing(photos, tmp_path, call, arguments, expected):
    code, _, error = call(*(photos if each == '{photos}' else each for each in arguments))
    assert code in (1, 2) and expected in error
    assert not list(tmp_path.iterdir())
