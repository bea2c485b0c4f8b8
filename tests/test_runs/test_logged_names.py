"""`docs/logging.md` names what a run logs."""

import json
import re

import pytest

from mmdecouple import models
from mmdecouple.decoupling import DecouplingBranch
from tests.conftest import ROOT

from .test_curves import train

ROWS = [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in (ROOT / 'docs' / 'logging.md').read_text().splitlines()
    if line.startswith('| ')
]
METHODS = {row[0]: row for row in ROWS if hasattr(models, row[0])}
TERM = r'`((?:loss|decoupling|foreground|shown|attended)[a-z_0-9]*)`'


def test_all_methods_are_listed():
    kinds = {name for name, kind in vars(models).items() if getattr(kind, '__module__', '').count('algorithms.') == 1}
    losses = {'base_loss', 'bins_loss'}
    methods = {name for name in kinds if losses & vars(getattr(models, name)).keys()} - {'DenseAlgorithm'}
    methods = {name for name in methods if 'variants' not in getattr(models, name).__module__}
    assert set(METHODS) == methods


@pytest.mark.parametrize('method', METHODS)
def test_the_terms_of_a_method_are_those_that_its_class_promises(method):
    promised = set(re.findall(TERM, getattr(models, method).base_loss.__doc__))
    assert promised and set(re.findall(TERM, ' '.join(METHODS[method][1:]))) == promised


def test_every_scalar_of_a_run_is_described(tmp_path):
    general = {name for row in ROWS if row[0] not in METHODS for name in re.findall(r'`([\w/]+)`', row[0])}
    assert set(re.findall(TERM, DecouplingBranch.__call__.__doc__)) <= general
    train(tmp_path, 1, dict(type='TensorboardVisBackend'))
    row = json.loads(next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()[0])
    of_the_toy = {'loss_main', 'share'}
    assert {name for name in row if not name.startswith('raw/')} - of_the_toy <= general
    assert {name for name in row if name.startswith('raw/')} == {'raw/loss', 'raw/loss_main'}
