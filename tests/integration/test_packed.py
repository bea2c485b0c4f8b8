"""A run on packed images is the run on their folder, also if it was killed on the folder and resumed on the pack."""

import signal

import pytest
from rich.console import Console

from mmdecouple.datasets.pack_writing import Storage
from mmdecouple.runs.packing import Packing, list_source
from mmdecouple.utils.data_spec import DataSpec
from tests.integration.resume_case import CONFIGS
from tests.integration.runs import train, write_case
from tests.integration.test_resume import assert_same_run, last


@pytest.mark.slow
def test_a_run_on_a_pack_ends_with_the_bytes_of_a_run_on_the_folder(tmp_path):
    case = write_case(tmp_path)
    Packing(tmp_path / 'pack', *list_source(DataSpec('folder', str(tmp_path / 'images'))), Storage(), 8000).run(
        1, Console()
    )
    assert len(list((tmp_path / 'pack').glob('*.tar'))) > 1
    source = "type='ImageDataset', data_root='{images}'"
    assert source in CONFIGS['densecl-d']
    packed = CONFIGS['densecl-d'].replace(source, f"type='ShardedImages', root='{tmp_path / 'pack'}'")
    (tmp_path / 'packed.py').write_text(packed)
    done = train(case, 'folder')
    assert done.returncode == 0, done.stderr[-3000:]
    killed = train(case, 'mixed', hook=dict(type='SignalHook', iteration=7, name='SIGKILL'))
    assert killed.returncode == -signal.SIGKILL
    done = train(case, 'mixed', '--resume', method='packed', options=('train_dataloader.num_workers=2',))
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_run(last(case, 'folder'), last(case, 'mixed'))
    assert '07.jpg' in (case / 'mixed' / 'unreadable_images.txt').read_text()
