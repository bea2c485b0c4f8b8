"""Where checkpoints are written, by which backend, and which of them a resumed run deletes."""

import io

import pytest
import torch
from mmengine.fileio import BaseStorageBackend, FileClient
from mmengine.fileio.backends import backends, prefix_to_backends

from mmdecouple.registry import HOOKS

from .toy import Toy, make_runner


class Memory(BaseStorageBackend):
    """A remote storage."""

    def __init__(self, label='none'):
        self.label = label

    def get(self, filepath):
        return self.stored[filepath][1]

    def get_text(self, filepath, encoding='utf-8'):
        return self.get(filepath).decode(encoding)

    def put(self, obj, filepath):
        self.stored[filepath] = self.label, bytes(obj)

    def join_path(self, filepath, *filepaths):
        return '/'.join((str(filepath), *filepaths))


@pytest.fixture
def stored(monkeypatch):
    """What the storage holds: label of the backend and content by path."""
    monkeypatch.setattr(Memory, 'stored', {}, raising=False)
    for known in (backends, prefix_to_backends, FileClient._prefix_to_backends):
        monkeypatch.setitem(known, 'memory', Memory)
    return Memory.stored


@pytest.mark.parametrize(
    'folder, backend_args, label',
    [
        ('memory://bucket', None, 'none'),
        ('memory://bucket', dict(backend='memory', label='own'), 'own'),
        ('local', dict(backend='memory', label='own'), 'own'),
    ],
)
def test_a_checkpoint_goes_to_the_storage_that_its_folder_or_the_config_names(
    tmp_path, stored, folder, backend_args, label
):
    folder = folder if '://' in folder else str(tmp_path / folder)
    runner = make_runner(tmp_path, Toy(), [])
    runner.train()
    runner.save_checkpoint(folder, 'a.pth', backend_args=backend_args)
    ((found, content),) = stored.values()
    assert list(stored) == [f'{folder}/a.pth'] and found == label
    assert torch.load(io.BytesIO(content), weights_only=False)['meta']['seed'] == 11
    assert runner.last_good_checkpoint == f'{folder}/a.pth'


def test_a_resumed_run_that_keeps_all_checkpoints_deletes_none(tmp_path):
    rule = dict(type='DurableCheckpointHook', interval=1)
    make_runner(tmp_path, Toy(), [], epochs=3, checkpoint=dict(rule, max_keep_ckpts=1)).train()
    (tmp_path / 'epoch_1.pth').write_bytes((tmp_path / 'epoch_3.pth').read_bytes())
    make_runner(tmp_path, Toy(), [], epochs=4, checkpoint=dict(rule), resume=True).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['epoch_1.pth', 'epoch_3.pth', 'epoch_4.pth']


def test_only_the_main_process_deletes(tmp_path, monkeypatch):
    rule = dict(type='DurableCheckpointHook', interval=1, max_keep_ckpts=1)
    make_runner(tmp_path, Toy(), [], epochs=3, checkpoint=dict(rule)).train()
    (tmp_path / 'epoch_1.pth').write_bytes((tmp_path / 'epoch_3.pth').read_bytes())
    monkeypatch.setattr('mmdecouple.engine.hooks.checkpoint_hook.is_main_process', lambda: False)
    make_runner(tmp_path, Toy(), [], epochs=4, checkpoint=dict(rule), resume=True).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['epoch_1.pth', 'epoch_3.pth', 'epoch_4.pth']


def test_the_first_argument_that_the_hook_does_not_take_is_named_with_its_key():
    with pytest.raises(ValueError, match="no argument 'intervall' .config key default_hooks.checkpoint.intervall.;"):
        HOOKS.build(dict(type='DurableCheckpointHook', interval=1, savelast=True, intervall=2))
