"""Fixtures that several rooms use."""
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def coco128() -> Path:
    """Folder of real COCO 2017 images with annotations, in the standard layout."""
    folder = Path(os.environ.get('MMDECOUPLE_COCO', ROOT.parent / 'shared' / 'data' / 'coco128'))
    if not (folder / 'annotations' / 'instances_val2017.json').is_file():
        pytest.skip(f'no COCO images in {folder}; set MMDECOUPLE_COCO to a folder that has them')
    return folder
