"""Fixtures that several rooms use."""
import os
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """Every test, its fixtures included, begins in one scope and without a logger, whatever others left behind.

    A logger of an earlier test writes to that test's captured output, which is closed.
    """
    MMLogger._instance_dict.clear()
    with DefaultScope.overwrite_default_scope('mmdecouple'):
        return (yield)


@pytest.fixture(scope='session')
def coco128() -> Path:
    """Folder of real COCO 2017 images with annotations, in the standard layout."""
    folder = Path(os.environ.get('MMDECOUPLE_COCO', ROOT.parent / 'shared' / 'data' / 'coco128'))
    if not (folder / 'annotations' / 'instances_val2017.json').is_file():
        pytest.skip(f'no COCO images in {folder}; set MMDECOUPLE_COCO to a folder that has them')
    return folder
