"""The proposal tool ends with the same file whatever happens on the way."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from mmdecouple.commands import proposals
from mmdecouple.datasets.proposals import ProposalFile, write_proposals
from mmdecouple.datasets.selective_search import filter_proposals, selective_search

from .conftest import CHECKOUT_TOOLS

SCRIPT = CHECKOUT_TOOLS / 'dataset_tools' / 'selective_search.py'


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Runs the command in `tmp_path`; returns its exit code and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def call_tool(*arguments):
        try:
            proposals.main([*map(str, arguments)])
            code = 0
        except SystemExit as end:
            code = end.code
        written = capfd.readouterr()
        return code, written.out + written.err

    return call_tool


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Folder of 50 small pictures of blobs, of which one is no picture."""
    folder = tmp_path_factory.mktemp('photos') / 'train'
    (folder / 'sub').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for place in range(50):
        image = cv2.resize(rng.integers(0, 256, (5, 6, 3), np.uint8), (120, 100), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / ('sub' if place % 2 else '.') / f'{place:02d}.png'), image)
    (folder / '10.png').write_bytes(b'nothing')
    return folder


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*.png'))


def expected_bytes(folder, path):
    """The file as one loop over the images writes it."""
    sizes, boxes = [], []
    for name in names(folder):
        image = cv2.imread(str(folder / name))
        size = (0, 0) if image is None else image.shape[:2]
        found = np.zeros((0, 4), int) if image is None else selective_search(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        sizes.append(size)
        boxes.append(filter_proposals(found, size))
    write_proposals(
        path,
        names(folder),
        sizes,
        boxes,
        'train',
        dict(
            method='selective search', scale=300.0, sigma=0.9, min_size=100, min_side=32, aspect=3.0, share=[0.3, 0.8]
        ),
    )
    return path.read_bytes()


def test_a_killed_search_goes_on_and_ends_with_the_same_bytes(photos, call, tmp_path):
    out = tmp_path / 'train.npz'
    command = [sys.executable, SCRIPT, '--data', photos, '--out', tmp_path, '--workers', '1']
    process = subprocess.Popen(command, env=dict(os.environ, OMP_NUM_THREADS='1'), stdout=subprocess.DEVNULL)
    chunks = tmp_path / '.train.npz.partial'
    deadline = time.monotonic() + 120
    while not list(chunks.glob('[0-9]*.npz')):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    # Workers end within a second of their parent; until then, and on a busy machine, they may write all chunks.
    time.sleep(2)
    for chunk in sorted(chunks.glob('[0-9]*.npz'))[1:]:
        chunk.unlink()
    code, output = call('--data', photos, '--out', tmp_path, '--workers', '2')
    assert code == 0 and '16 of 50 images are done already' in output and '"progress": "images"' in output
    assert out.read_bytes() == expected_bytes(photos, tmp_path / 'expected.npz')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['expected.npz', 'train.npz']
    counts = np.diff(ProposalFile.open(out).offsets)
    assert counts[names(photos).index('10.png')] == 0 and (counts > 0).sum() > 40


def test_soco_files_are_converted_for_the_images_of_an_annotation_file(photos, call, tmp_path):
    soco, annotations = tmp_path / 'soco.json', tmp_path / 'instances.json'
    soco.write_text(json.dumps({'00': [[3, 4, 50, 60], [100, 90, 40, 40]], '02': []}))
    annotations.write_text(json.dumps(dict(images=[dict(file_name='00.png'), dict(file_name='02.png')])))
    code, output = call('--data', f'list:{annotations}:{photos}', '--out', '.', '--import', soco)
    assert code == 0 and '2 boxes of 2 images' in output and '1 boxes were clipped' in output
    found = ProposalFile.open(tmp_path / 'instances.npz')
    assert found.header['dataset'] == 'instances' and found.header['parameters']['source'] == 'soco.json'
    assert found.boxes('00.png', (100, 120)).tolist() == [[3, 4, 53, 64], [100, 90, 120, 100]]


@pytest.mark.parametrize(
    'arguments, line',
    [
        (['--data', 'absent'], "data 'absent' is neither a file or folder"),
        (['--data', 'folder:absent'], "the folder 'absent' does not exist"),
        (['--data', '{photos}', '--import', 'absent.json'], "'absent.json' cannot be opened"),
        (['--data', '{photos}', '--share', '0', '0.8'], '--share must be positive'),
        (['--data', '{photos}', '--ann', 'a.json'], '--ann is called --data SPEC now'),
        (['--data', '{photos}', '--name', 'there'], 'there.npz exists'),
        (['--data', '{photos}', '--name', 'other'], 'unfinished search with other images or parameters'),
    ],
)
def test_a_mistake_is_answered_with_one_line(arguments, line, photos, call, tmp_path):
    (tmp_path / 'there.npz').touch()
    (tmp_path / '.other.npz.partial').mkdir()
    (tmp_path / '.other.npz.partial' / 'plan.json').write_text('{}')
    code, output = call('--out', '.', *[argument.replace('{photos}', str(photos)) for argument in arguments])
    said = [text for text in output.strip().splitlines() if ' - INFO - ' not in text]
    assert line in said[-1] and (code == 2 or (code == 1 and len(said) == 1))
