"""Exported scenes read back exactly, and nothing is ever half-written."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdecouple.datasets import CocoObjects, SceneObjects
from mmdecouple.datasets.scenes import SceneSpec
from mmdecouple.datasets.scenes import export as scenes_export
from tests.conftest import ROOT

TOOLS = ROOT / 'tools' / 'dataset_tools'
KNOBS = ['--size', '48x64', '--seed', '4', '--max-overlap', '0.5', '--objects', '2', '6']
SCENES = dict(size=(48, 64), seed=4, max_overlap=0.5, objects=(2, 6))


@pytest.fixture(scope='module')
def export(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('export') / 'scenes'
    command = [
        sys.executable,
        str(TOOLS / 'export_scenes.py'),
        '--out',
        str(out),
        '--train',
        '70',
        '--val',
        '5',
        '--workers',
        '2',
        *KNOBS,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def run(monkeypatch):
    """Run a tool in this process; returns its exit code."""
    monkeypatch.syspath_prepend(str(TOOLS))

    def run_tool(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        try:
            importlib.import_module(name).main()
        except SystemExit as stop:
            return stop.code
        return 0

    return run_tool


@pytest.mark.parametrize('split, count', [('train', 70), ('val', 5)])
def test_an_export_reads_back_to_the_same_pixels_boxes_masks_and_labels(export, split, count):
    read = CocoObjects(str(export / 'annotations' / f'instances_{split}.json'), str(export / split))
    drawn = SceneObjects(count, split=split, scenes=SCENES)
    assert len(read) == count and read.classes == drawn.classes
    for index in range(count):
        for one, other in zip(read.objects(index), drawn.objects(index)):
            assert np.array_equal(one, other)
            assert np.asarray(one).dtype == np.asarray(other).dtype
        first, second = read.info(index), drawn.info(index)
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[key], second[key]) for key in first)


def test_index_images_hold_class_plus_one_and_zero_for_background(export):
    names = json.loads((export / 'semantic' / 'classes.json').read_text())
    drawn = SceneObjects(5, scenes=SCENES)
    assert names == {str(i): name for i, name in enumerate(('background', *drawn.classes))}
    for index in range(5):
        item = drawn.objects(index)
        expected = (item.masks * (item.labels + 1)[:, None, None]).sum(0)
        path = export / 'semantic' / 'val' / f'{index:012d}.png'
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), expected)


def test_an_existing_folder_is_replaced_only_by_force_and_only_if_it_is_an_export(export, tmp_path, run, capsys):
    few = ('--train', 1, '--val', 1, '--size', 48)
    assert run('export_scenes', '--out', export, *few) == 1
    line = capsys.readouterr().err
    assert line.count('\n') == 1 and '--force' in line
    (tmp_path / 'thesis.txt').write_text('precious')
    assert run('export_scenes', '--out', tmp_path, *few, '--force') == 1
    assert (tmp_path / 'thesis.txt').read_text() == 'precious'
    assert run('export_scenes', '--out', tmp_path / 'new', *few) == 0
    assert run('export_scenes', '--out', tmp_path / 'new', *few, '--force', '--seed', 9) == 0
    assert json.loads((tmp_path / 'new' / 'scenes.json').read_text())['spec']['seed'] == 9


def test_a_failed_export_leaves_the_earlier_one_and_no_debris(tmp_path, monkeypatch):
    out, counts = tmp_path / 'scenes', dict(train=2, val=2)
    scenes_export.export(out, SceneSpec(size=48), counts)
    before = sorted((path, path.read_bytes()) for path in out.rglob('*') if path.is_file())

    def full_disk(path, content):
        raise OSError('No space left on device')

    monkeypatch.setattr(scenes_export, '_dump', full_disk)
    with pytest.raises(OSError, match='No space left'):
        scenes_export.export(out, SceneSpec(size=64), counts)
    assert sorted((path, path.read_bytes()) for path in out.rglob('*') if path.is_file()) == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_sheet_of_scenes_has_the_size_asked_for(tmp_path, run):
    assert run('browse_scenes', '--out', tmp_path, '--rows', 2, '--columns', 3, '--size', 48, '--marks') == 0
    assert cv2.imread(str(tmp_path / 'scenes.png')).shape == (2 * 108, 3 * 108, 3)
