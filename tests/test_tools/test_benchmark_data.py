"""The benchmark of the loaders, as a user calls it."""

import importlib.util
import json
import sys

import numpy as np
import simplejpeg
from rich.console import Console

from mmdecouple.datasets.pack_writing import Storage
from mmdecouple.runs.packing import Packing, list_source
from mmdecouple.utils.data_spec import read_spec

from .conftest import CHECKOUT_TOOLS, ROOT, run

ROWS = ['decode alone', '2 views of 224, crop and flip'] + [
    f'{views}, 2 views of 224{where}'
    for views in ('MoCo v2', 'iBOT')
    for where in ('', ', colors on the device', ', views on the device')
]


def test_every_row_is_measured_in_every_round_and_a_missing_peer_is_named(tmp_path):
    (tmp_path / 'photos').mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    (tmp_path / 'photos' / '0.jpg').write_bytes(simplejpeg.encode_jpeg(pixels))
    Packing(tmp_path / 'pack', *list_source(read_spec(str(tmp_path / 'photos'))), Storage(), 2**20).run(
        1, Console(quiet=True)
    )
    options = [
        '--peers',
        '--data',
        f'pack:{tmp_path / "pack"}',
        '--seconds',
        '0.02',
        '--rounds',
        '2',
        '--out',
        'speeds',
    ]
    printed = run([sys.executable, CHECKOUT_TOOLS / 'benchmark' / 'data.py', *options], toy_folder=ROOT, cwd=tmp_path)
    speeds = json.loads((tmp_path / 'speeds' / 'data.json').read_text())
    assert list(speeds)[: len(ROWS)] == ROWS
    assert [name for name in speeds if name.startswith('packed')] == [f'packed: {name}' for name in ROWS]
    assert all(len(found) == 2 and min(found) > 0 for found in speeds.values())
    for package, row in (
        ('lightly', 'lightly: iBOT, 2 views of 224'),
        ('torchvision', 'torchvision v2: MoCo v2, 2 views of 224'),
        ('mmpretrain', 'mmpretrain: MoCo v2, 2 views of 224'),
    ):
        installed = importlib.util.find_spec(package) is not None
        assert (row in speeds) == installed and (f'{package}: not measured' in printed) != installed
