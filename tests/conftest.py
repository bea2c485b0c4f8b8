"""Fixtures that several rooms use."""

import os
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from mmdecouple.runs.startup import prepare_process
from mmdecouple.utils import beside_transformers  # noqa: F401
from mmdecouple.utils.versions import stack

from .classic_skips import SKIPS

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items):
    """Skips what the original OpenMMLab packages and torch 2.1 cannot do."""
    for reason, names in SKIPS.items() if stack() == 'classic' else ():
        for item in items:
            if item.nodeid.startswith(names):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """Every test, its fixtures included, begins in one scope and without a logger, whatever others left behind.

    A logger of an earlier test writes to that test's captured output, which is closed.
    """
    MMLogger._instance_dict.clear()
    with DefaultScope.overwrite_default_scope('mmdecouple'):
        return (yield)


@pytest.fixture(scope='session', autouse=True)
def process(tmp_path_factory):
    """A test is an entry point, too; it leaves nothing in the user's cache folder."""
    os.environ['MMDECOUPLE_CACHE'] = str(tmp_path_factory.mktemp('cache'))
    prepare_process()


@pytest.fixture(scope='session')
def coco128() -> Path:
    """Folder of real COCO 2017 images with annotations, in the standard layout."""
    data = os.environ.get('MMDECOUPLE_DATA')
    if not data:
        pytest.skip('no real images: set MMDECOUPLE_DATA to a folder that holds coco128/')
    folder = Path(data, 'coco128')
    assert (folder / 'annotations' / 'instances_val2017.json').is_file(), f'MMDECOUPLE_DATA: no COCO images in {folder}'
    return folder
