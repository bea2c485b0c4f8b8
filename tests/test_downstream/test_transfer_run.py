"""A transfer trains, tests and leaves one row; what is done is not done again. Training and test are stand-ins."""

import fcntl
import json
import shlex
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torchvision.models import resnet18 as network

from mmdecouple.downstream.results import read_rows
from mmdecouple.downstream.transfer import Transfer
from mmdecouple.runs.launchers import Launch
from mmdecouple.utils.data_spec import DataSpec
from mmdecouple.version import __version__


class Stage:
    """A folder of transfers; training and test are stand-ins that note their arguments, and fail on request."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.failing, self._calls = folder, None, []
        torch.save({key: value for key, value in network().state_dict().items() if 'fc' not in key}, folder / 'r18.pth')

    def transfer(self, **settings) -> Transfer:
        made = Transfer(
            **dict(
                network=str(self.folder / 'r18.pth'),
                task='voc-fcn',
                smoke='overfit',
                arch='resnet18',
                device='cpu',
                method='Mine',
                out=self.folder / 'runs',
                command=('transfer', 'a b'),
            )
            | settings
        )
        made.prepare()
        return made

    def start(self, command: list[str], pass_fds: list[int]) -> SimpleNamespace:
        """In place of `subprocess.run`."""
        (place,) = (index for index, word in enumerate(command) if word.startswith('mmdecouple.commands.'))
        program, words = command[place].rpartition('.')[2], command[place + 1 :]
        self._calls.append((program, command[:place], words))
        folder = Path(words[words.index('--out') + 1])
        assert len(list((folder / 'scenes' / 'train').iterdir())) == 8
        if program == 'train':
            (folder / 'iter_5.pth').touch()
            (folder / 'last_checkpoint').write_text('/elsewhere/iter_5.pth')
        else:
            (folder / 'metrics.json').write_text(
                json.dumps(dict(mIoU=41.5, epochs=3, aAcc=float('nan'), time=0.5, data_time=0.1, kind='all'))
            )
        return SimpleNamespace(returncode=3 if self.failing == program else 0)

    def calls(self) -> list[tuple[str, list[str], list[str]]]:
        """Program, what launches it and its words, of the calls since the last time."""
        found, self._calls = self._calls, []
        return found


@pytest.fixture
def stage(tmp_path, monkeypatch):
    stage = Stage(tmp_path)
    monkeypatch.setattr('mmdecouple.downstream.transfer.subprocess.run', stage.start)
    return stage


def test_a_run_draws_trains_and_tests_once_and_its_row_says_with_what(stage):
    transfer = stage.transfer(seed=3, options={'model.backbone.norm_eval': True})
    row = transfer.run()
    folder, config = transfer.folder, str(transfer.folder / 'transfer_config.py')
    tail = ['--out', str(folder)]
    assert [(program, words) for program, _, words in stage.calls()] == [
        ('train', [config, *tail, '--device', 'cpu']),
        ('test', [config, str(folder / 'iter_5.pth'), *tail, '--device', 'cpu']),
    ]
    assert folder == stage.folder / 'runs' / 'voc-fcn-resnet18-overfit' / f'r18-{transfer.identity}'
    facts = {
        key: row[key]
        for key in (
            'task',
            'metrics',
            'method',
            'checkpoint',
            'seed',
            'batch',
            'arch',
            'precision',
            'config',
            'options',
            'device',
            'role',
            'format',
            'architecture',
        )
    }
    assert facts == dict(
        task='voc-fcn (overfit, a smoke run)',
        metrics=dict(mIoU=41.5, epochs=3),
        method='Mine',
        checkpoint='../r18.pth',
        seed=3,
        batch='1 x 4',
        arch='own',
        precision='fp32',
        config='mmdecouple::downstream/mmseg/fcn_r50_voc.py',
        options={'model.backbone.norm_eval': 'True'},
        device='cpu',
        role='only',
        format='torchvision',
        architecture='ResNet-18',
    )
    assert shlex.split(row['command']) == ['transfer', 'a b'] and 0 <= row['seconds'] < 60
    runs = stage.folder / 'runs'
    assert (runs / row['trained']).samefile(folder / 'iter_5.pth') and (runs / row['trained_config']).samefile(config)
    assert row['versions']['mmdecouple'] == __version__ and row['versions']['torch'] == version('torch')
    assert read_rows(runs / 'results.jsonl') == [row]
    assert stage.transfer(seed=3, options={'model.backbone.norm_eval': True}).run() == row and not stage.calls()


@pytest.mark.parametrize(
    'change', [dict(seed=1), dict(options={'train_dataloader.batch_size': 2}), dict(precision='bf16')]
)
def test_another_run_has_another_identity_and_another_name_of_the_file_has_not(stage, change):
    first, other = stage.transfer(), stage.transfer(**change)
    assert first.identity != other.identity and other.run()['batch'] == f'1 x {4 - 2 * ("options" in change)}'
    path = stage.folder / 'copy.pth'
    path.write_bytes((stage.folder / 'r18.pth').read_bytes())
    assert stage.transfer(network=str(path)).identity == first.identity


def test_a_run_that_failed_goes_on_where_it_was(stage):
    stage.failing = 'train'
    with pytest.raises(
        ValueError, match='the training ended with exit code 3; see the log in .*runs/voc-fcn.*the same'
    ):
        stage.transfer().run()
    assert [call[0] for call in stage.calls()] == ['train']
    stage.failing = 'test'
    with pytest.raises(ValueError, match='the testing ended with exit code 3'):
        stage.transfer().run()
    (first, _, train), (second, _, test) = stage.calls()
    assert (first, second) == ('train', 'test') and '--resume' in train and '--resume' not in test
    stage.failing = None
    row = stage.transfer().run()
    assert [call[0] for call in stage.calls()] == ['test'] and row['metrics']['mIoU'] == 41.5


def test_a_folder_belongs_to_one_run_and_to_one_process(stage):
    transfer = stage.transfer()
    transfer.folder.mkdir(parents=True)
    with (transfer.folder / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match='another process uses .*r18-'):
            transfer.run()
    (transfer.folder / 'run.json').write_text(json.dumps(dict(identity='another', finished=False)))
    with pytest.raises(ValueError, match='holds a run of another seed, config or checkpoint; choose another --out'):
        transfer.run()
    assert not stage.calls()


def test_a_run_folder_stands_for_its_newest_checkpoint(stage):
    (stage.folder / 'run').mkdir()
    (stage.folder / 'r18.pth').rename(stage.folder / 'run' / 'r18.pth')
    transfer = stage.transfer(network=str(stage.folder / 'run'))
    assert transfer.checkpoint == str(stage.folder / 'run' / 'r18.pth')
    for spec, message in (
        ('timm:resnet18', 'untrained network'),
        ('a.py', 'untrained network'),
        ('b.pth', 'not exist'),
    ):
        with pytest.raises(ValueError, match=message):
            stage.transfer(network=spec)


def test_several_processes_are_started_by_torchrun_and_share_the_batch(stage):
    transfer = stage.transfer(launch=Launch('pytorch', 2))
    row = transfer.run()
    config, folder = str(transfer.folder / 'transfer_config.py'), str(transfer.folder)
    (_, launch, train), (_, again, test) = stage.calls()
    assert launch == again and 'torch.distributed.run' in launch and '--nproc_per_node=2' in launch
    assert train[:3] == [config, '--out', folder] and test[:2] == [config, str(transfer.folder / 'iter_5.pth')]
    assert all('--launcher pytorch' in ' '.join(words) for words in (train, test))
    assert row['batch'] == '2 x 2' and row['arch'] == 'resnet18'


def test_the_scenes_of_an_overfit_run_have_their_own_place(stage):
    with pytest.raises(ValueError, match='--smoke overfit renders its own scenes; omit --data'):
        stage.transfer(data=DataSpec('coco', 'data'))
