import pytest
import torch
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader

from mmdecouple.datasets import EpochSampler, SeededDataset
from mmdecouple.engine import PretrainRunner
from mmdecouple.registry import LOOPS
from mmdecouple.utils.configs import load_config

from .toy import Toy, make_runner


class Items(SeededDataset):
    """Items that are their (index, draw)."""

    def __init__(self):
        super().__init__(
            [lambda results: dict(inputs=torch.cat([torch.full((1,), float(results['index'])), torch.rand(1)]))], seed=0
        )

    def load(self, index):
        return dict(index=index)

    def __len__(self):
        return 8


class Seeing(Toy):
    """Keeps what it was fed."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, inputs, mode='loss'):
        self.seen.append(inputs.tolist())
        return super().forward(inputs, mode)


def run_items(work_dir, epochs, every, resume=False):
    items, model = Items(), Seeing()
    make_runner(
        work_dir,
        model,
        [],
        epochs=epochs,
        resume=resume,
        loader=DataLoader(items, batch_size=2, sampler=EpochSampler(items, seed=3)),
        checkpoint=dict(
            type='DurableCheckpointHook', interval=every, by_epoch=False, save_last=False, max_keep_ckpts=1
        ),
    ).train()
    return model.seen


@pytest.mark.parametrize('every', [3, 4, 5, 8])
def test_a_resume_anywhere_in_an_epoch_feeds_what_was_left(tmp_path, every):
    whole = run_items(tmp_path / 'whole', 3, every=100)
    assert len(whole) == 12
    begun = run_items(tmp_path / 'cut', 2, every)
    assert begun == whole[:8]
    saved = every * (8 // every)
    assert run_items(tmp_path / 'cut', 3, every, resume=True) == whole[saved:]


@LOOPS.register_module()
class NotingLoop(BaseLoop):
    """Lets the model note after how many epochs it runs."""

    def __init__(self, runner, dataloader, evaluator):
        super().__init__(runner, dataloader)

    def run(self):
        self.runner.model.ran.append(self.runner.epoch)


@pytest.mark.parametrize(
    'options, epochs, expected',
    [
        (dict(), 3, [1, 2, 3]),
        (dict(val_interval=2), 5, [2, 4, 5]),
        (dict(val_begin=3, val_interval=2), 7, [4, 6, 7]),
        (dict(val_begin=4), 5, [4, 5]),
        (dict(val_interval=9), 3, [3]),
        (dict(val_begin=3, val_interval=3), 3, [3]),
        (dict(val_begin=5), 4, []),
    ],
)
def test_validation_follows_its_interval_and_the_last_epoch(tmp_path, options, epochs, expected):
    model = Toy()
    model.ran = []
    make_runner(
        tmp_path,
        model,
        [],
        epochs=epochs,
        train=options,
        val_evaluator=[],
        val_dataloader=DataLoader([dict(inputs=torch.ones(2))]),
        val_cfg=dict(type='NotingLoop'),
    ).train()
    assert model.ran == expected


def test_a_checkpoint_that_does_not_fit_the_epoch_length_is_named(tmp_path):
    checkpoint = dict(type='DurableCheckpointHook', interval=3, by_epoch=False, save_last=False)
    make_runner(tmp_path, Toy(), [], checkpoint=checkpoint).train()
    fewer = DataLoader([dict(inputs=value) for value in torch.ones(4, 2)], batch_size=2)
    with pytest.raises(ValueError, match='the number of images .* was 8 and is 4 now'):
        make_runner(tmp_path, Toy(), [], resume=True, loader=fewer)


def test_a_sampler_that_cannot_skip_is_named(tmp_path):
    checkpoint = dict(type='DurableCheckpointHook', interval=3, by_epoch=False, save_last=False)
    make_runner(tmp_path, Toy(), [], checkpoint=checkpoint).train()
    with pytest.raises(ValueError, match='EpochSampler'):
        make_runner(tmp_path, Toy(), [], resume=True).train()


def test_a_loader_from_a_base_of_a_package_collates(tmp_path):
    (tmp_path / 'child.py').write_text("_base_ = 'mmdecouple::_base_/datasets/scenes_two_views.py'\n")
    loader = load_config(str(tmp_path / 'child.py')).train_dataloader
    assert loader.collate_fn['_scope_'] == 'mmdecouple'
    loader.batch_size = 2
    batch = next(iter(PretrainRunner.build_dataloader(loader, seed=0)))
    assert [view.shape for view in batch['inputs']] == [(2, 3, 48, 48)] * 2
    assert '_scope_' in loader.collate_fn


def test_seeds_that_differ_by_rank_are_refused(tmp_path):
    with pytest.raises(ValueError, match='diff_rank_seed'):
        PretrainRunner(Toy(), str(tmp_path), randomness=dict(seed=1, diff_rank_seed=True))
