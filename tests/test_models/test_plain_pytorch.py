"""Masks and de-coupling are plain PyTorch: they work where nothing of OpenMMLab is installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPENMMLAB = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg')
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {absent}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Absent())
"""


def run_without(absent: tuple[str, ...], code: str) -> str:
    """What code prints in a process that cannot import some packages."""
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT.format(absent=absent) + code], cwd=ROOT, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_masks_and_decoupling_import_with_torch_alone():
    modules = [
        f'mmdecouple.{room}.{path.stem}'
        for room in ('masks', 'decoupling')
        for path in (ROOT / 'mmdecouple' / room).glob('[!_]*.py')
    ]
    assert len(modules) >= 15
    run_without((*OPENMMLAB, 'torchvision', 'numpy'), f'import {", ".join(modules)}')


def test_the_absence_is_noticed():
    with pytest.raises(AssertionError, match="No module named 'mmengine'"):
        run_without(OPENMMLAB, 'import mmdecouple.models')


def test_the_example_trains_without_openmmlab():
    printed = run_without(
        OPENMMLAB,
        """
import json, sys
sys.path.insert(0, 'examples')
from plain_pytorch import train
print(json.dumps(train(steps=12)))
""",
    )
    history = json.loads(printed)
    assert set(history[0]) == {'loss_base', 'loss_decoupling', 'decoupling', 'foreground_share'}
    for name in ('loss_base', 'loss_decoupling'):
        assert sum(terms[name] for terms in history[-3:]) < 0.8 * sum(terms[name] for terms in history[:3])
