"""Running statistics after training: the mean over batches, at the final weights, before anything is saved."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmdecouple.downstream import PreciseBNHook

DATA = torch.randn(12, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1


class Net(BaseModel):
    """A detector's shape: a trained norm, one in evaluation mode, one that no batch reaches."""

    def __init__(self):
        super().__init__(BaseDataPreprocessor())
        self.conv, self.bn, self.frozen, self.idle = (
            nn.Conv2d(3, 2, 1),
            nn.BatchNorm2d(2),
            *(nn.BatchNorm2d(3) for _ in range(2)),
        )
        self.seen = []

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def loss(self, inputs, data_samples):
        self.seen.append((self.training, torch.is_grad_enabled(), len(inputs)))
        return dict(loss=self.bn(self.conv(self.frozen(inputs))).square().mean() + self.conv.weight.square().sum())

    def forward(self, inputs, data_samples=None, mode='loss'):
        return self.loss(inputs, data_samples)


def train(work_dir, loop, iterations, workers=0, **options):
    torch.manual_seed(1)
    items = [dict(inputs=image, data_samples=0) for image in DATA]
    runner = Runner(
        model=Net(),
        work_dir=str(work_dir),
        train_cfg=loop,
        experiment_name=work_dir.name + str(iterations),
        train_dataloader=DataLoader(items, batch_size=4, num_workers=workers, persistent_workers=workers > 0),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=loop.get('by_epoch', True)),
            sampler_seed=None,
            logger=None,
        ),
        custom_hooks=[dict(type='mmdecouple.PreciseBNHook', iterations=iterations)],
        **options,
    )
    return runner.train()


@pytest.mark.parametrize(
    'loop, workers',
    [
        (dict(by_epoch=True, max_epochs=2), 0),
        (dict(by_epoch=True, max_epochs=2), 1),
        (dict(by_epoch=False, max_iters=7), 0),
    ],
)
def test_statistics_are_the_mean_over_batches_and_are_in_the_last_checkpoint(tmp_path, loop, workers):
    model = train(tmp_path, loop, 200, workers)
    last = 'epoch_2.pth' if loop['by_epoch'] else 'iter_7.pth'
    saved = torch.load(tmp_path / last, weights_only=False)['state_dict']
    with torch.no_grad():
        batches = [model.conv(batch / (1 + 1e-5) ** 0.5) for batch in DATA.split(4)]
    expected = dict(
        running_mean=torch.stack([x.mean((0, 2, 3)) for x in batches]).mean(0),
        running_var=torch.stack([x.var((0, 2, 3)) for x in batches]).mean(0),
    )
    for key, value in expected.items():
        torch.testing.assert_close(getattr(model.bn, key), value)
        assert torch.equal(saved[f'bn.{key}'], getattr(model.bn, key))
    steps = 6 if loop['by_epoch'] else 7
    # Each batch once more, in training mode without gradients, and no step beyond the run's.
    assert model.seen == [(True, True, 4)] * steps + [(True, False, 4)] * 3
    assert (model.bn.momentum, model.bn.num_batches_tracked) == (0.1, steps)


def test_norms_that_learn_nothing_keep_their_statistics(tmp_path):
    model = train(tmp_path, dict(by_epoch=True, max_epochs=1), 2)
    assert len(model.seen) == 3 + 2
    for norm in (model.frozen, model.idle):
        assert torch.equal(norm.running_mean, torch.zeros(3)) and torch.equal(norm.running_var, torch.ones(3))
        assert norm.momentum == 0.1


def test_a_resumed_run_measures_as_the_uninterrupted_one_does(tmp_path):
    loop = dict(by_epoch=True, max_epochs=3)
    (tmp_path / 'whole').mkdir(), (tmp_path / 'cut').mkdir()
    whole = train(tmp_path / 'whole', loop, 3)
    last = torch.load(tmp_path / 'whole' / 'epoch_2.pth', weights_only=False)
    torch.save(last, tmp_path / 'cut' / 'epoch_2.pth')
    (tmp_path / 'cut' / 'last_checkpoint').write_text(str(tmp_path / 'cut' / 'epoch_2.pth'))
    resumed = train(tmp_path / 'cut', loop, 3, resume=True)
    assert len(resumed.seen) == 3 + 3
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_no_iterations_are_refused():
    with pytest.raises(ValueError, match='iterations must be at least 1, got 0'):
        PreciseBNHook(0)
    assert PreciseBNHook(1).iterations == 1


def measure_in_two_processes(rank, folder):
    """What one of two processes does: it has every second image."""
    torch.distributed.init_process_group('gloo', f'file://{folder}/meet', world_size=2, rank=rank)
    torch.manual_seed(1)
    model, batches = Net(), [dict(inputs=batch, data_samples=[]) for batch in DATA[rank::2].split(3)]
    model.train()
    hook, runner = PreciseBNHook(), SimpleNamespace(optim_wrapper=SimpleNamespace(optim_context=nullcontext))
    hook._measure(runner, model, [model.bn, model.idle], batches)
    torch.save(model.state_dict(), f'{folder}/{rank}.pth')


@pytest.mark.slow
def test_statistics_are_the_mean_over_processes(tmp_path):
    torch.multiprocessing.spawn(measure_in_two_processes, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f'{rank}.pth') for rank in range(2))
    torch.manual_seed(1)
    conv = Net().conv
    with torch.no_grad():
        outputs = [conv(batch / (1 + 1e-5) ** 0.5) for rank in range(2) for batch in DATA[rank::2].split(3)]
    torch.testing.assert_close(first['bn.running_mean'], torch.stack([x.mean((0, 2, 3)) for x in outputs]).mean(0))
    torch.testing.assert_close(first['bn.running_var'], torch.stack([x.var((0, 2, 3)) for x in outputs]).mean(0))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(first['idle.running_var'], torch.ones(3))
