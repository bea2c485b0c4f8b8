"""The benchmark of the loaders, as a user calls it."""

import importlib.util
import json
import sys

from .conftest import CHECKOUT_TOOLS, ROOT, run

ROWS = ['decode alone', '2 views of 224, crop and flip'] + [
    f'{views}, 2 views of 224{where}'
    for views in ('MoCo v2', 'iBOT')
    for where in ('', ', colors on the device', ', views on the device')
]


def test_every_row_is_measured_in_every_round_and_a_missing_peer_is_named(tmp_path):
    out = tmp_path / 'speeds.json'
    options = ['--peers', '--seconds', '0.02', '--rounds', '2', '--json', str(out)]
    printed = run([sys.executable, CHECKOUT_TOOLS / 'benchmark' / 'data.py', *options], toy_folder=ROOT, cwd=tmp_path)
    speeds = json.loads(out.read_text())
    assert list(speeds)[: len(ROWS)] == ROWS
    assert all(len(found) == 2 and min(found) > 0 for found in speeds.values())
    for package, row in (
        ('lightly', 'lightly: iBOT, 2 views of 224'),
        ('torchvision', 'torchvision v2: MoCo v2, 2 views of 224'),
        ('mmpretrain', 'mmpretrain: MoCo v2, 2 views of 224'),
    ):
        installed = importlib.util.find_spec(package) is not None
        assert (row in speeds) == installed and (f'{package}: not measured' in printed) != installed
