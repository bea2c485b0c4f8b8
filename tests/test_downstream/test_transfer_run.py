"""A transfer trains, tests and leaves one row; what is done is not done again. Training and test are stand-ins."""
import fcntl
import json
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18 as network

from mmdecouple.downstream.results import read_rows
from mmdecouple.downstream.transfer import Transfer
from mmdecouple.version import __version__

# Each appends its words to a list, and fails where it is asked to.
TOOL = '''
import json, os, sys
from pathlib import Path
tool, words = Path(sys.argv[0]).stem, sys.argv[1:]
folder = Path(words[words.index('--work-dir') + 1] if '--work-dir' in words else words[0]).absolute()
with open({log!r}, 'a') as file:
    file.write(json.dumps([tool, os.environ.get('GPUS'), *words]) + '\\n')
if tool == 'train':
    (folder / 'iter_5.pth').touch()
    (folder / 'last_checkpoint').write_text('/elsewhere/iter_5.pth')
if tool == 'test':
    Path(words[words.index('--out') + 1]).write_text(json.dumps(
        dict(mIoU=41.5, epochs=3, aAcc=float('nan'), time=0.5, data_time=0.1, kind='all')))
if tool == 'export_scenes':
    folder.mkdir()
if Path({log!r} + '.' + tool).exists():
    sys.exit('no such luck' if tool == 'export_scenes' else 3)
'''
DIST = 'exec "$PYTHON" "$(dirname "$0")/{tool}.py" "$@"\n'


class Stage:
    """A folder with stand-ins for the tools, and transfers that use them."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / 'log'
        torch.save({key: value for key, value in network().state_dict().items() if 'fc' not in key}, folder / 'r18.pth')
        (folder / 'tools' / 'dataset_tools').mkdir(parents=True)
        for name in ('train', 'test', 'dataset_tools/export_scenes'):
            (folder / 'tools' / f'{name}.py').write_text(TOOL.format(log=str(self.log)))
        for tool in ('train', 'test'):
            (folder / 'tools' / f'dist_{tool}.sh').write_text(DIST.format(tool=tool))

    def transfer(self, **settings):
        made = Transfer(**dict(
            checkpoint=str(self.folder / 'r18.pth'), task='voc-fcn', smoke='overfit', arch='resnet18', device='cpu',
            method='Mine', root=str(self.folder / 'runs'), tools=self.folder / 'tools', command=('transfer', 'a b'))
            | settings)
        made.prepare()
        return made

    def fail(self, tool, whether=True):
        flag = Path(f'{self.log}.{tool}')
        flag.touch() if whether else flag.unlink()

    def calls(self):
        """Words of the calls since the last time: tool, number of processes, all that it was given."""
        if not self.log.exists():
            return []
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        self.log.unlink()
        return found


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def test_a_run_draws_trains_and_tests_once_and_its_row_says_with_what(stage):
    transfer = stage.transfer(seed=3, options={'model.backbone.norm_eval': True})
    row = transfer.run()
    folder, config = transfer.folder, str(transfer.folder / 'transfer_config.py')
    tail = ['--work-dir', str(folder)]
    assert stage.calls() == [
        ['export_scenes', None, str(folder / 'scenes'), '--train', '8', '--val', '1', '--size', '128'],
        ['train', '1', config, *tail, '--device', 'cpu'],
        ['test', '1', config, str(folder / 'iter_5.pth'), *tail, '--out', str(folder / 'metrics.json'), '--device',
         'cpu']]
    assert folder == stage.folder / 'runs' / 'voc-fcn-resnet18-overfit' / f'r18-{transfer.identity}'
    facts = {key: row[key] for key in ('task', 'metrics', 'method', 'checkpoint', 'seed', 'batch', 'arch', 'precision',
                                       'config', 'options', 'device', 'role', 'format', 'architecture')}
    assert facts == dict(
        task='voc-fcn (overfit, a smoke run)', metrics=dict(mIoU=41.5, epochs=3), method='Mine',
        checkpoint='../r18.pth', seed=3, batch='1 x 4', arch='own', precision='fp32',
        config='mmdecouple::downstream/mmseg/fcn_r50_voc.py',
        options={'model.backbone.norm_eval': 'True'}, device='cpu', role='only', format='torchvision',
        architecture='ResNet-18')
    assert shlex.split(row['command']) == ['transfer', 'a b'] and 0 <= row['seconds'] < 60
    runs = stage.folder / 'runs'
    assert (runs / row['trained']).samefile(folder / 'iter_5.pth') and (runs / row['trained_config']).samefile(config)
    assert row['versions']['mmdecouple'] == __version__ and row['versions']['torch'] == version('torch')
    assert read_rows(runs / 'results.jsonl') == [row]
    assert stage.transfer(seed=3, options={'model.backbone.norm_eval': True}).run() == row and not stage.calls()


@pytest.mark.parametrize('change', [dict(seed=1), dict(options={'train_dataloader.batch_size': 2}),
                                    dict(precision='bf16')])
def test_another_run_has_another_identity_and_another_name_of_the_file_has_not(stage, change):
    first, other = stage.transfer(), stage.transfer(**change)
    assert first.identity != other.identity and other.run()['batch'] == f'1 x {4 - 2 * ("options" in change)}'
    path = stage.folder / 'copy.pth'
    path.write_bytes((stage.folder / 'r18.pth').read_bytes())
    assert stage.transfer(checkpoint=str(path)).identity == first.identity


def test_a_run_that_failed_goes_on_where_it_was(stage):
    stage.fail('train')
    with pytest.raises(ValueError, match='train.py ended with exit code 3; its log is in .*runs/voc-fcn.*The same'):
        stage.transfer().run()
    assert [call[0] for call in stage.calls()] == ['export_scenes', 'train']
    stage.fail('train', False), stage.fail('test')
    with pytest.raises(ValueError, match='test.py ended with exit code 3'):
        stage.transfer().run()
    train, test = stage.calls()
    assert train[0] == 'train' and '--resume' in train and test[0] == 'test' and '--resume' not in test
    stage.fail('test', False)
    row = stage.transfer().run()
    assert [call[0] for call in stage.calls()] == ['test'] and row['metrics']['mIoU'] == 41.5


def test_scenes_that_cannot_be_drawn_end_the_run_with_the_tools_words(stage):
    stage.fail('export_scenes')
    with pytest.raises(ValueError, match='the scenes could not be drawn: no such luck$'):
        stage.transfer().run()
    assert [call[0] for call in stage.calls()] == ['export_scenes']


def test_a_folder_belongs_to_one_run_and_to_one_process(stage):
    folder = stage.folder / 'mine'
    first = stage.transfer(work_dir=str(folder))
    first.run()
    assert first.folder == folder and len(stage.calls()) == 3
    with pytest.raises(ValueError, match=rf'mine holds another run \({first.identity}\); give another --work-dir'):
        stage.transfer(work_dir=str(folder), seed=1).run()
    with (folder / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match='another process is at work in .*mine'):
            stage.transfer(work_dir=str(folder), seed=2).run()
    assert not stage.calls()


def test_several_processes_get_the_scripts_of_torchrun_and_share_the_batch(stage):
    transfer = stage.transfer(launcher='pytorch', gpus=2)
    row = transfer.run()
    _, train, test = stage.calls()
    config, folder = str(transfer.folder / 'transfer_config.py'), str(transfer.folder)
    assert train == ['train', '2', config, '2', '--work-dir', folder, '--device', 'cpu']
    assert test[:6] == ['test', '2', config, str(transfer.folder / 'iter_5.pth'), '2', '--work-dir']
    assert row['batch'] == '2 x 2' and row['arch'] == 'resnet18'


def test_the_scenes_of_an_overfit_run_have_their_own_place(stage):
    with pytest.raises(ValueError, match='--smoke overfit draws its scenes and takes no --data-root'):
        stage.transfer(data_root='data')
