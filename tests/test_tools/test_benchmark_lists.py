"""The benchmark of long lists, as a user calls it."""

import re
import sys

import pytest

from .conftest import CHECKOUT_TOOLS, run


@pytest.mark.slow
@pytest.mark.parametrize('kind, workers', [((), 1), (('--walk',), 0)])
def test_starts_and_an_epoch_are_measured_and_nothing_is_left(tmp_path, kind, workers):
    words = ['--count', '2500', '--workers', workers, '--scratch', tmp_path, *kind]
    out = run([sys.executable, CHECKOUT_TOOLS / 'benchmark' / 'lists.py', *words], toy_folder=tmp_path, cwd=tmp_path)
    assert re.findall(r'^(\w[\w ]*): [\d.]+ s', out, re.M) == ['first start', 'next start', 'with an epoch']
    assert out.count('growth of the workers') == workers and not list(tmp_path.glob('tmp*'))
