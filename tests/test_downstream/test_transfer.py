"""What `tools/transfer.py` checks before it starts, and the table it writes."""

import hashlib
import json
import os
import re
import sys

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import ResNet

from mmdecouple.downstream import PretrainedBackbone
from mmdecouple.downstream.results import append_row, find_row, markdown, read_rows
from mmdecouple.downstream.tasks import TASKS, check_data, config_name, set_data, set_data_root, task_config
from mmdecouple.downstream.train_on_ignored import TrainOnIgnored
from mmdecouple.downstream.transfer import Transfer
from mmdecouple.models import DenseViT
from mmdecouple.runs.launchers import Launch
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.data_spec import DataSpec
from mmdecouple.utils.digests import digest_of_file
from mmdecouple.weights.pretrained import read_pretrained
from mmdecouple.weights.source import describe


def resnet(depth=18):
    from torchvision.models import get_model

    return {
        f'backbone.{key}': value
        for key, value in get_model(f'resnet{depth}').state_dict().items()
        if not key.startswith('fc.')
    }


@pytest.fixture(scope='module')
def resnet18(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'epoch_3.pth'
    text = "model = dict(backbone=dict(depth=18), decoupling=dict(type='DecouplingBranch'), type='DenseCL')\n"
    torch.save(dict(state_dict=resnet(), meta=dict(cfg=text, epoch=3, experiment_name='mine')), path)
    return str(path)


def coco(folder):
    (folder / 'annotations').mkdir()
    for split in ('train2017', 'val2017'):
        (folder / split).mkdir()
        (folder / 'annotations' / f'instances_{split}.json').write_text('{}')
    return str(folder)


def row(identity, task='coco-mask-rcnn-c4', **metrics):
    return dict(identity=identity, task=task, metrics=metrics, method='DenseCL', checkpoint='a.pth', sha256='0' * 64)


def test_a_finished_run_has_one_row_however_often_it_is_added(tmp_path):
    path = tmp_path / 'results.jsonl'
    for one in (row('a', AP=0.385), row('b', 'voc-fcn', mIoU=67.5), row('a', AP=0.1)):
        append_row(path, one)
    assert [found['identity'] for found in read_rows(path)] == ['a', 'b']
    assert find_row(path, 'a')['metrics'] == dict(AP=0.385) and find_row(path, 'c') is None
    text = (tmp_path / 'results.md').read_text()
    assert '| DenseCL | 0.385 |' in text and '| DenseCL | 67.5 |' in text and text == markdown(read_rows(path))


def test_rows_are_told_apart_by_options_and_precision_and_seeds_are_folded():
    same = dict(sha256='1' * 64, config='c', options={'a.b': 2})
    rows = [
        row(name, AP=value, mIoU=1) | same | more
        for name, value, more in (
            ('a', 0.1, dict(seed=0)),
            ('b', 0.2, dict(seed=1)),
            ('c', 0.6, dict(seed=1, precision='bf16')),
            ('d', 0.3, dict(seed=2)),
        )
    ]
    lines = [line for line in markdown(rows).splitlines() if line.startswith('| DenseCL')]
    assert len(lines) == 5 and ' a.b=2 ' in lines[0] and sum(' bf16 ' in line for line in lines) == 1
    # The standard deviation of .1, .2, .3 is .1.
    assert '| 0.2 ± 0.1 | 1 ± 0 |' in lines[3] and '| 3 seeds |' in lines[3] and ' ± ' not in lines[4]


def test_the_table_to_read_has_every_fact_in_its_column_and_an_empty_cell_for_what_is_not_known():
    facts = dict(sha256='0123456789abcdef', checkpoint='a|b.pth', batch='1 x 4', options={'a': 1, 'b': 'x\ny'}, seed=0)
    rows = [
        row('a', 'one', AP=0.38512, AP_s=0.1) | facts,
        row('b', 'two', mIoU=67.5),
        row('c', 'one', AP50=1e-5) | facts | dict(seed=1),
    ]
    tables = markdown(rows).split('\n## ')
    assert tables[0] == '# Transfer results\n' and [table[:3] for table in tables[1:]] == ['one', 'two']
    cells = [[cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]] for line in tables[1].splitlines()[2:]]
    header, rule, *lines = cells
    assert (
        header
        == [
            'method',
            'AP',
            'AP50',
            'checkpoint',
            'pretraining',
            'role',
            'arch',
            'seed',
            'batch',
            'precision',
            'options',
            'config',
            'sha256',
            'date',
        ]
        and rule == ['---'] * 14
    )
    told = dict(method='DenseCL', checkpoint=r'a\|b.pth', batch='1 x 4', options='a=1 b=x y', sha256='0123456789ab')
    expected = [
        told | dict(AP='0.3851', seed='0'),
        told | dict(AP50='1e-05', seed='1'),
        # Of a metric that not all seeds have there is no mean.
        told | dict(seed='2 seeds', checkpoint=''),
    ]
    assert [dict(zip(header, line)) for line in lines] == [dict.fromkeys(header, '') | one for one in expected]


def test_a_damaged_table_is_named_with_its_line(tmp_path):
    path = tmp_path / 'results.jsonl'
    path.write_text(json.dumps(row('a')) + '\n{"iden\n')
    with pytest.raises(ValueError, match=r'results.jsonl, line 2: not JSON'):
        read_rows(path)


def test_the_checkpoint_tells_its_method_without_running_its_config(resnet18, tmp_path):
    facts = describe(resnet18)
    assert (facts['method'], facts['architecture'], facts['pretraining']) == (
        'DenseCL-D',
        'ResNet-18',
        'mine, 3 epochs',
    )
    trap = tmp_path / 'trap.pth'
    text = f"open({str(tmp_path / 'ran')!r}, 'w')\nmodel = dict(type='SoCo', decoupling=None)"
    torch.save(dict(state_dict=resnet(), meta=dict(cfg=text)), trap)
    assert describe(str(trap))['method'] == 'SoCo' and not (tmp_path / 'ran').exists()


@pytest.mark.parametrize(
    'text, method',
    [
        ("algorithm = dict(type='Other')\nmodel = dict(type='SoCo')\nzebra = dict(type='Other')", 'SoCo'),
        ("runs['model'] = dict(type='Other')\nmodel = dict(decoupling=dict(), type='SoCo')", 'SoCo-D'),
        ("model = 3\nmodel = dict(type='SoCo', decoupling=branch)", 'SoCo-D'),
        ('model = dict(type=kind)', 'unknown'),
        ('model = dict(type=3)', 'unknown'),
        ('model = dict()', 'unknown'),
        ("models = dict(type='Other')", 'unknown'),
        ("model = dict(type='SoCo'", 'unknown'),
        ('', 'unknown'),
    ],
)
def test_the_method_is_the_type_of_the_config_key_model(text, method, tmp_path):
    torch.save(dict(state_dict=resnet(), meta=dict(cfg=text)), tmp_path / 'a.pth')
    assert describe(str(tmp_path / 'a.pth'))['method'] == method


@pytest.mark.parametrize(
    'meta, told',
    [
        (dict(experiment_name='mine', epoch=0), 'mine, 0 epochs'),
        (dict(experiment_name='mine'), 'mine'),
        (dict(epoch=3), ''),
        ({}, ''),
        (None, ''),
    ],
)
def test_a_run_is_called_by_its_name_and_its_epochs_where_both_are_known(meta, told, tmp_path):
    torch.save(dict(state_dict=resnet(), meta=meta), tmp_path / 'a.pth')
    assert describe(str(tmp_path / 'a.pth'))['pretraining'] == told


def test_a_checkpoint_that_holds_more_than_weights_is_read_on_request_alone(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict=resnet(), meta=dict(experiment_name='mine'), hook=print), path)
    model = torch.nn.Module()
    model.backbone = ResNet(depth=18)
    readers = (
        describe,
        read_pretrained,
        lambda path, **trust: PretrainedBackbone(path, **trust).check(model),
        lambda path, **trust: Transfer(path, 'voc-fcn', smoke='overfit', arch='resnet18', **trust).prepare(),
    )
    for read in readers:
        with pytest.raises(ValueError, match='holds more than weights'):
            read(path)
        read(path, allow_pickle=True)
    assert describe(path, allow_pickle=True)['pretraining'] == 'mine'


def test_the_digest_is_that_of_the_whole_file(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(bytes(range(256)) * 10000)
    assert digest_of_file(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_architecture_is_refused_with_both_names(resnet18, tmp_path):
    with pytest.raises(
        ValueError,
        match='holds a ResNet-18, on which coco-cascade-vit cannot be built; tasks that fit '
        'with --arch resnet18: coco-mask-rcnn-c4, coco-mask-rcnn-fpn',
    ):
        Transfer(resnet18, 'coco-cascade-vit').prepare()
    with pytest.raises(ValueError, match='is built on a ResNet-50; use --arch resnet18'):
        Transfer(resnet18, 'coco-mask-rcnn-c4', data=DataSpec('coco', coco(tmp_path))).prepare()
    with pytest.raises(ValueError, match='is built on a ResNet of 2-2-2 basic blocks; use --arch resnet18'):
        Transfer(resnet18, 'voc-fcn', arch='resnet-demo').prepare()


def small_vit(folder):
    model = DenseViT(
        arch=dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64), patch_size=8, img_size=32
    )
    path = str(folder / 'vit.pth')
    torch.save({f'backbone.{key}': value for key, value in model.state_dict().items()}, path)
    return path


def test_a_network_that_no_task_knows_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(
        ValueError, match='ViT of 4 blocks, width 32, patch 8, on which ade-upernet cannot be .*vit-demo'
    ):
        Transfer(small_vit(tmp_path), 'ade-upernet').prepare()


def test_tasks_that_a_refusal_names_can_be_prepared(tmp_path):
    # The demo's network has no last stage, so no C4 detector.
    path = tmp_path / 'demo.pth'
    torch.save({key: value for key, value in resnet().items() if 'layer4' not in key}, path)
    with pytest.raises(ValueError, match='resnet-demo') as caught:
        Transfer(str(path), 'voc-faster-rcnn-c4').prepare()
    named = str(caught.value).rpartition(': ')[2].rstrip('.').split(', ')
    assert named == [name for name, task in TASKS.items() if task.network == 'ResNet' and 'c4' not in name]
    for task in ('coco-mask-rcnn-fpn', 'voc-fcn'):
        transfer = Transfer(str(path), task, smoke='overfit', arch='resnet-demo', out=tmp_path)
        transfer.prepare()
        assert transfer.config.train_dataloader.dataset.data_root == str(transfer.folder / 'scenes')


def test_the_seed_of_a_run_chooses_its_few_images():
    names = [task_config('coco-5pct', seed=seed).train_dataloader.dataset.ann_file for seed in (0, 3)]
    assert names == [f'annotations/instances_train2017_5pct_seed{seed}.json' for seed in (0, 3)]


def test_a_file_of_another_project_has_no_method_unless_it_is_named(tmp_path):
    path = str(tmp_path / 'resnet.pth')
    torch.save({key.removeprefix('backbone.'): value for key, value in resnet().items()}, path)
    assert (describe(path)['method'], describe(path)['format']) == ('unknown', 'torchvision')
    assert describe(path, method='SwAV')['method'] == 'SwAV'


@pytest.mark.parametrize(
    'lost, message', [('annotations', 'lacks annotations/instances_train2017.json'), ('val2017', r'lacks val2017')]
)
def test_missing_data_are_named_with_the_remedy(tmp_path, lost, message):
    root = coco(tmp_path)
    (tmp_path / lost).rename(tmp_path / 'elsewhere')
    config = load_config(config_name('coco-cascade-vit'))
    set_data_root(config, root)
    with pytest.raises(FileNotFoundError, match=f'coco-cascade-vit: .*{message}.*--data'):
        check_data(config, 'coco-cascade-vit')
    set_data_root(config, str(tmp_path / 'nowhere'))
    with pytest.raises(FileNotFoundError, match='the data folder .*nowhere does not exist'):
        check_data(config, 'coco-cascade-vit')


def test_another_data_root_reaches_every_data_set_and_evaluator(tmp_path):
    for task in ('coco-mask-rcnn-fpn', 'voc-faster-rcnn-c4', 'ade-upernet', 'voc-fcn'):
        config = load_config(config_name(task))
        set_data_root(config, str(tmp_path))
        text = Config(
            dict(
                data=[
                    config[f'{part}_{kind}']
                    for part in ('train', 'val', 'test')
                    for kind in ('dataloader', 'evaluator')
                    if f'{part}_{kind}' in config
                ]
            )
        ).pretty_text
        assert 'data/' not in text and str(tmp_path) in text


@pytest.mark.parametrize(
    'task, root, given, found',
    [
        ('voc-fcn', 'VOC2012', 'VOCdevkit', 'VOCdevkit/VOC2012'),
        ('voc-fcn', 'VOC2012', 'VOCdevkit/VOC2012', 'VOCdevkit/VOC2012'),
        ('ade-upernet', 'ADEChallengeData2016', 'VOCdevkit', 'VOCdevkit/ADEChallengeData2016'),
        ('coco-5pct', 'train2017', 'VOCdevkit', 'VOCdevkit'),
    ],
)
def test_data_are_named_by_their_kind_and_found_below_its_root(task, root, given, found, tmp_path):
    (tmp_path / 'VOCdevkit' / root).mkdir(parents=True)
    config, kind = load_config(config_name(task)), task.partition('-')[0]
    set_data(config, task, None, DataSpec(kind, str(tmp_path / given)))
    assert config.test_dataloader.dataset.data_root == str(tmp_path / found)
    with pytest.raises(ValueError, match=f'{task} cannot be trained on cityscapes:a; name {kind}:ROOT.*--data'):
        set_data(config, task, None, DataSpec('cityscapes', 'a'))
    if kind == 'coco':
        with pytest.raises(ValueError, match='uses the splits of its protocol; name coco:ROOT alone'):
            set_data(config, task, None, DataSpec('coco', 'a', ('b', 'c')))


def test_the_batch_of_the_protocol_is_shared_out(resnet18):
    transfer = Transfer(resnet18, 'coco-mask-rcnn-c4', launch=Launch('pytorch', 8))
    transfer.config = load_config(config_name('coco-mask-rcnn-c4'))
    transfer._divide_batch()
    assert transfer.batch == '8 x 2'
    transfer.launch = Launch('pytorch', 3)
    with pytest.raises(ValueError, match='a total batch of 16 cannot be divided among 3 processes'):
        transfer._divide_batch()


def test_precision_and_scaling_of_the_learning_rate_are_the_users_choice(resnet18, tmp_path, monkeypatch):
    monkeypatch.setattr(Transfer, '_check_weights', lambda self: None)
    root, seen = coco(tmp_path), []
    for settings in ({}, dict(precision='bf16', options={'auto_scale_lr.enable': False})):
        transfer = Transfer(resnet18, 'coco-mask-rcnn-fpn', arch='resnet18', data=DataSpec('coco', root), **settings)
        transfer.prepare()
        wrapper = transfer.config.optim_wrapper
        seen.append((wrapper.type, wrapper.get('precision'), transfer.config.auto_scale_lr.enable, transfer.identity))
    assert seen[0][:3] == ('OptimWrapper', None, True)
    assert seen[1][:3] == ('mmdecouple.PrecisionOptimWrapper', 'bf16', False) and seen[0][3] != seen[1][3]


def test_slurm_gets_the_whole_command_and_the_config_stays_what_it_was(tmp_path, monkeypatch):
    fake, words, run = tmp_path / 'srun', tmp_path / 'words', tmp_path / 'run'
    run.mkdir()
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {words}\necho "load_from = 1" > {run}/transfer_config.py\n')
    fake.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    transfer = Transfer('a.pth', 'coco-mask-rcnn-c4', launch=Launch('slurm', 16, 'long'))
    transfer.folder, transfer.config = run, Config(dict(load_from=None))
    config = str(transfer.folder / 'transfer_config.py')
    last = ['--out', str(run), '--device', 'auto', '--launcher', 'slurm']
    for program, arguments in (('train', ['--resume']), ('test', ['a/iter_9.pth', '--out', 'm.json'])):
        with open(os.devnull) as lock:
            transfer._call(program, arguments, lock)
        found = words.read_text().splitlines()
        assert found[:5] == ['-p', 'long', '--job-name=transfer-coco-mask-rcnn-c4', '--gres=gpu:8', '--ntasks=16']
        start = found.index(f'mmdecouple.commands.{program}')
        assert found[start - 3 : start] == [sys.executable, '-u', '-m']
        assert found[start + 1 :] == [config, *arguments, *last]
        assert Config.fromfile(config).load_from is None


def test_difficult_objects_are_trained():
    import numpy as np

    results = dict(gt_ignore_flags=np.array([True, False, True]))
    assert not TrainOnIgnored()(results)['gt_ignore_flags'].any()
