"""A toy run that is resumed under another setting: what breaks its promise is refused, the rest is said."""

import os
import warnings
import zlib

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from mmdecouple.datasets import SeededDataset, epoch_order
from mmdecouple.datasets.listing import PathList
from mmdecouple.datasets.names import NameFile
from mmdecouple.engine import PretrainRunner, read_checkpoint
from mmdecouple.registry import DATASETS, MODELS
from mmdecouple.utils.errors import user_message
from tests.test_engine.toy import Toy, make_runner

MODELS.register_module(name='ToyOfResumes', module=Toy)


@MODELS.register_module()
class WiderToy(Toy):
    """Has more weights than the checkpoint."""

    def __init__(self):
        super().__init__()
        self.more = torch.nn.Linear(2, 2)


@DATASETS.register_module()
class Numbers(SeededDataset):
    """Items that are their index; the file names are made up."""

    def __init__(self, count, prefix='', seed=None, pixels='unchanged', pack_digest='aaaa'):
        super().__init__([lambda results: dict(inputs=torch.ones(2) * results['index'])], seed)
        self.pixels, self.pack_digest = pixels, pack_digest
        self.paths = [f'/data/{prefix}{index}.jpg' for index in range(count)]

    def load(self, index):
        return dict(index=index)

    def __len__(self):
        return len(self.paths)


@DATASETS.register_module()
class ListedNumbers(Numbers):
    """Numbers whose file names are listed in a file."""

    def __init__(self, count, prefix='', folder='/data', seed=None):
        super().__init__(count, prefix, seed)
        self.paths = PathList(folder, NameFile.of([f'{prefix}{index}.jpg' for index in range(count)]))


CONFIG = dict(
    model=dict(type='ToyOfResumes'),
    train_dataloader=dict(
        batch_size=2,
        num_workers=0,
        drop_last=True,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='EpochSampler'),
        dataset=dict(type='Numbers', count=8),
    ),
    optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
    param_scheduler=[dict(type='MultiStepLR', milestones=[100])],
    train_cfg=dict(max_epochs=2),
    default_hooks=dict(checkpoint=dict(type='DurableCheckpointHook', interval=1, max_keep_ckpts=1), sampler_seed=None),
    visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
    default_scope='mmdecouple',
    runner_type='PretrainRunner',
    randomness=dict(seed=11),
)


def runner(work_dir, options=(), **changes):
    config = Config(dict(CONFIG, work_dir=str(work_dir), **changes))
    config.merge_from_dict(dict(options))
    config.experiment_name = f'toy_{zlib.crc32(repr((str(work_dir), sorted(dict(options).items()))).encode())}'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return PretrainRunner.from_cfg(config)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """Work dir of a run of two epochs."""
    folder = tmp_path_factory.mktemp('runs') / 'finished'
    runner(folder).train()
    return folder


def tree(folder):
    return sorted(str(path) for path in folder.rglob('*'))


@pytest.mark.parametrize(
    'options, said',
    [
        ({'train_dataloader.batch_size': 4}, 'train_dataloader.batch_size was 2 and is 4 now'),
        ({'optim_wrapper.accumulative_counts': 2}, 'optim_wrapper.accumulative_counts was 1 and is 2 now'),
        ({'train_dataloader.dataset.count': 9}, 'images of train_dataloader.dataset was 8 and is 9 now'),
        ({'train_dataloader.dataset.pack_digest': 'bbbb'}, "dataset.root (digest) was 'aaaa' and is 'bbbb' now"),
        ({'train_dataloader.dataset.pixels': 'small'}, "train_dataloader.dataset was 'unchanged' and is 'small' now"),
        ({'optim_wrapper.optimizer.type': 'AdamW'}, "optim_wrapper.optimizer.type was 'SGD' and is 'AdamW' now"),
    ],
)
@pytest.mark.parametrize('named', [False, True])
def test_a_resume_that_would_see_other_samples_is_refused_and_leaves_nothing(finished, options, said, named):
    before = tree(finished)
    with pytest.raises(ValueError) as caught:
        runner(finished, options, resume=True, load_from=str(finished / 'epoch_2.pth') if named else None)
    line = user_message(caught.value)
    assert said in line and 'epoch_2.pth' in line and 'load_from' in line
    assert tree(finished) == before


def test_a_list_with_other_names_is_refused_and_a_moved_folder_is_not(tmp_path):
    listed = {'train_dataloader.dataset.type': 'ListedNumbers'}
    runner(tmp_path, listed).train()
    with pytest.raises(ValueError, match="the digest of the image names .* was '[0-9a-f]{16}' and is '[0-9a-f]{16}'"):
        runner(tmp_path, listed | {'train_dataloader.dataset.prefix': 'x'}, resume=True)
    moved = listed | {'train_dataloader.dataset.folder': '/elsewhere', 'train_cfg.max_epochs': 3}
    runner(tmp_path, moved, resume=True).train()
    assert (tmp_path / 'epoch_3.pth').exists()


@pytest.mark.parametrize('recorded', [True, False])
def test_another_rule_of_the_order_is_refused_also_if_the_record_is_from_before_there_were_two(
    finished, tmp_path, monkeypatch, recorded
):
    checkpoint = read_checkpoint(str(finished / 'epoch_2.pth'))
    assert checkpoint['meta']['record']['order'] == 'randperm'
    if not recorded:
        del checkpoint['meta']['record']['order']
    torch.save(checkpoint, tmp_path / 'epoch_2.pth')
    monkeypatch.setattr(epoch_order, 'LARGEST_TABLE', 4)
    with pytest.raises(ValueError, match="order of an epoch was 'randperm' and is 'feistel-1' now"):
        runner(tmp_path, resume=True)


def test_a_run_is_refused_whose_processes_found_other_images(tmp_path, monkeypatch):
    monkeypatch.setattr('mmdecouple.runs.listed_images.all_gather_object', lambda digest: [digest, digest, 'other'])
    with pytest.raises(ValueError, match='process 2 found other images than process 0'):
        runner(tmp_path, {'train_dataloader.dataset.type': 'ListedNumbers'})
    assert tree(tmp_path) == []


def test_another_number_of_processes_is_refused(finished, monkeypatch):
    checkpoint = read_checkpoint(str(finished / 'epoch_2.pth'))
    checkpoint['meta']['record']['processes'] = 8
    other = finished.parent / 'eight'
    other.mkdir(exist_ok=True)
    torch.save(checkpoint, other / 'epoch_2.pth')
    with pytest.raises(ValueError, match='the number of processes was 8 and is 1 now'):
        runner(other, resume=True)


def test_a_run_may_move_from_a_pack_of_unchanged_files_to_their_folder(finished, tmp_path):
    os.link(finished / 'epoch_2.pth', tmp_path / 'epoch_2.pth')
    options = {'train_dataloader.dataset.pack_digest': None, 'train_cfg.max_epochs': 3}
    runner(tmp_path, options, resume=True).train()
    assert (tmp_path / 'epoch_3.pth').exists()


def test_what_does_not_decide_the_samples_is_said_in_one_line_each(finished, tmp_path, capfd):
    os.link(finished / 'epoch_2.pth', tmp_path / 'epoch_2.pth')
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        resumed = runner(
            tmp_path,
            {
                'optim_wrapper.optimizer.lr': 0.5,
                'train_cfg.max_epochs': 3,
                'randomness.seed': 5,
                'param_scheduler.0.milestones': [7],
                'train_dataloader.dataset.prefix': 'x',
            },
            resume=True,
        )
        resumed.train()
    finally:
        torch.set_num_threads(threads)
    log = next(tmp_path.glob('*/*.log')).read_text()
    for line in (
        "optim_wrapper.optimizer.lr was 0.1 in the checkpoint and is 0.5 in the config; the checkpoint's is used.",
        "train_cfg.max_epochs was 2 in the checkpoint and is 3 in the config; the config's is used.",
        "param_scheduler.0.milestones.0 was 100 in the checkpoint and is 7 in the config; the checkpoint's is used.",
        "randomness.seed was 11 in the checkpoint and is 5 in the config; the checkpoint's is used.",
        f'threads was {threads} and is {threads + 1} now',
        "data was 'Numbers 0.jpg .. 7.jpg",
    ):
        assert log.count(line) == 1, line
    assert resumed.seed == 11
    assert resumed.optim_wrapper.get_lr()['lr'] == [0.1]


def test_a_checkpoint_keeps_the_record_over_resumes(finished, tmp_path):
    first = read_checkpoint(str(finished / 'epoch_2.pth'))['meta']['record']
    assert {key: first[key] for key in ('batch_size', 'processes', 'accumulative_counts', 'images', 'seed')} == dict(
        batch_size=2, processes=1, accumulative_counts=1, images=8, seed=11
    )
    assert first['threads'] == torch.get_num_threads() and first['torch'] == torch.__version__
    os.link(finished / 'epoch_2.pth', tmp_path / 'epoch_2.pth')
    runner(tmp_path, {'train_cfg.max_epochs': 3}, resume=True).train()
    again = read_checkpoint(str(tmp_path / 'epoch_3.pth'))['meta']['record']
    assert again == first and (tmp_path / 'current_run').read_text().strip() == first['run']


@pytest.mark.parametrize('record', [None, [], dict(batch_size=[2], processes='two'), dict(torch=torch.ones(3))])
def test_a_checkpoint_of_an_older_version_or_with_an_odd_record_is_resumed(finished, tmp_path, record):
    checkpoint = read_checkpoint(str(finished / 'epoch_2.pth'))
    checkpoint['meta']['record'] = record
    torch.save(checkpoint, tmp_path / 'epoch_2.pth')
    if record == dict(batch_size=[2], processes='two'):
        with pytest.raises(ValueError, match="processes was 'two'"):
            runner(tmp_path, resume=True)
        return
    runner(tmp_path, {'train_cfg.max_epochs': 3}, resume=True).train()
    assert (tmp_path / 'epoch_3.pth').exists()
    warned = 'holds no record of its run' in next(tmp_path.glob('*/*.log')).read_text()
    assert warned is not isinstance(record, dict)


def test_the_config_of_a_checkpoint_without_a_record_still_tells_the_batch(finished, tmp_path):
    checkpoint = read_checkpoint(str(finished / 'epoch_2.pth'))
    del checkpoint['meta']['record']
    torch.save(checkpoint, tmp_path / 'epoch_2.pth')
    with pytest.raises(ValueError, match='train_dataloader.batch_size was 2 and is 4 now'):
        runner(tmp_path, {'train_dataloader.batch_size': 4}, resume=True)


@pytest.mark.parametrize(
    'change, said',
    [
        (lambda checkpoint: checkpoint.pop('optimizer'), 'it has no optimizer'),
        (lambda checkpoint: checkpoint.update(meta=None), 'its meta is not a dict'),
        (lambda checkpoint: checkpoint['meta'].update(iter='8'), "its meta.iter is '8'"),
    ],
)
def test_a_named_checkpoint_that_lacks_something_is_refused(finished, tmp_path, change, said):
    checkpoint = read_checkpoint(str(finished / 'epoch_2.pth'))
    change(checkpoint)
    path = tmp_path / 'named.pth'
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=f'cannot be resumed: {said}'):
        runner(tmp_path / 'run', resume=True, load_from=str(path))


def test_a_refusal_of_the_weights_leaves_no_config_behind(finished):
    before = tree(finished)
    resumed = runner(finished, model=dict(type='WiderToy'), resume=True)
    with pytest.raises(ValueError, match='does not fit the model'):
        resumed.train()
    assert [
        path
        for path in tree(finished)
        if path not in before and path.count('/') == before[0].count('/') and path.endswith('.py')
    ] == []


@pytest.mark.parametrize(
    'options, said',
    [
        *(
            ({'train_cfg.max_epochs': value}, 'train_cfg.max_epochs must be a whole number of at least 1, got')
            for value in (0, -1, 2.0, None, True, '3')
        ),
        ({'train_cfg': dict(type='IterBasedTrainLoop', max_iters=0, _delete_=True)}, 'train_cfg.max_iters must be'),
        ({'train_cfg': dict(_delete_=True, val_interval=1)}, 'neither max_epochs nor max_iters'),
        ({'train_dataloader.dataset.count': 1}, '1 images in 1 process.* train_dataloader.batch_size=2'),
        ({'train_dataloader.dataset.count': 0}, 'has no samples'),
        ({'train_dataloader.num_batch_per_epoch': 0}, 'has no samples'),
        (
            {
                'train_cfg': dict(type='IterBasedTrainLoop', max_iters=3, _delete_=True),
                'train_dataloader.dataset.count': 1,
                'train_dataloader.sampler.type': 'InfiniteSampler',
            },
            '1 images in 1 process',
        ),
    ],
)
def test_a_run_that_would_take_no_step_is_refused_and_leaves_nothing(tmp_path, options, said):
    with pytest.raises(ValueError, match=said) as caught:
        runner(tmp_path / 'run', options)
    assert user_message(caught.value) and tree(tmp_path / 'run') == []


def test_a_validation_without_a_batch_is_refused(tmp_path):
    items = Numbers(0)
    loader = DataLoader(items, batch_size=2)
    with pytest.raises(ValueError, match='val_dataloader.dataset holds no image'):
        make_runner(tmp_path, Toy(), [], val_dataloader=loader, val_cfg=dict(), val_evaluator=[]).train()


def test_a_loop_that_counts_iterations_trains_stops_and_is_resumed(tmp_path):
    loop = dict(
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=3),
        default_hooks=dict(
            CONFIG['default_hooks'], checkpoint=dict(type='DurableCheckpointHook', interval=3, by_epoch=False)
        ),
    )
    runner(tmp_path, {'train_dataloader.sampler.type': 'InfiniteSampler'}, **loop).train()
    loop['train_cfg'] = dict(type='IterBasedTrainLoop', max_iters=6)
    runner(tmp_path, {'train_dataloader.sampler.type': 'InfiniteSampler'}, resume=True, **loop).train()
    assert read_checkpoint(str(tmp_path / 'iter_6.pth'))['meta']['iter'] == 6
    with pytest.raises(ValueError, match='what the loop counts'):
        runner(tmp_path, resume=True)
