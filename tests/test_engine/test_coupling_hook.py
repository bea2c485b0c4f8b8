"""The coupling hook measures while training and changes nothing of it."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import Runner

import mmdecouple.engine  # noqa: F401
from mmdecouple.engine.hooks.coupling_hook import CouplingHook
from tests.test_evaluation.toys import CELL, MEASURES, SIZE, ConvModel


class TrainedModel(ConvModel):
    """Its loss depends on dropout, batch norm and a draw of its own."""

    def forward(self, inputs, data_samples=None, mode='predict'):
        if mode == 'predict':
            return super().forward(inputs)
        images = torch.stack(inputs)
        features = self.net(images + 0.1 * torch.randn_like(images))
        return dict(loss=F.mse_loss(features, torch.rand_like(features)))


class Noise(torch.utils.data.Dataset):
    """Images drawn from the global generator, as careless data sets do."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.randn(3, 16, 16))


def train(folder, hooks, workers=0, **config):
    runner = Runner(
        model=TrainedModel(),
        work_dir=str(folder),
        cfg=Config(config),
        train_dataloader=dict(
            batch_size=4, num_workers=workers, dataset=Noise(), sampler=dict(type='DefaultSampler', shuffle=True)
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=hooks,
        randomness=dict(seed=0),
        default_scope='mmdecouple',
        experiment_name=Path(folder).name,
        default_hooks=dict(checkpoint=None),
        visualizer=dict(type='Visualizer', name=str(folder), vis_backends=[dict(type='LocalVisBackend')]),
    )
    runner.train()
    return runner.model


def toy_probe():
    return dict(
        type='ProbeDataset',
        objects=dict(type='ToyObjects', num_images=6),
        bank=dict(type='ToyObjects', num_images=8, first=1),
        singles=dict(type='ToyObjects', num_images=6, first=2, counts=(1, 1)),
        size=SIZE,
        cell=CELL,
        measures=list(MEASURES),
    )


def hook(**settings):
    return dict(type='CouplingHook', probe=toy_probe(), **settings)


@pytest.mark.parametrize('workers', [0, 1])
def test_training_is_the_same_bit_for_bit_with_and_without_measuring(tmp_path, workers):
    plain = train(tmp_path / 'plain', [], workers)
    measured = train(tmp_path / 'measured', [hook(interval=1, num_workers=workers)], workers)
    assert plain.state_dict().keys() == measured.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(value, measured.state_dict()[name]), name
    assert measured.training


def test_every_nth_epoch_is_measured_logged_and_written(tmp_path):
    train(tmp_path / 'run', [hook(interval=2)])
    written = sorted(path.name for path in (tmp_path / 'run' / 'coupling').iterdir())
    assert written == ['epoch_2.json', 'manifest.json']
    report = json.loads((tmp_path / 'run' / 'coupling' / 'epoch_2.json').read_text())
    lines = [json.loads(line) for path in (tmp_path / 'run').rglob('scalars.json') for line in path.open()]
    logged = [line for line in lines if 'coupling/oknn_top1' in line]
    assert len(logged) == 1 and logged[0]['step'] == 4
    assert logged[0]['coupling/context_shift'] == report['metrics']['context_shift']['value']


def test_without_probes_of_its_own_it_measures_those_of_the_test(tmp_path):
    train(tmp_path / 'own', [hook(interval=3)])
    train(tmp_path / 'tested', [dict(type='CouplingHook', interval=3)], test_dataloader=dict(dataset=toy_probe()))
    own, tested = (
        json.loads((tmp_path / name / 'coupling' / 'epoch_3.json').read_text()) for name in ('own', 'tested')
    )
    assert own['manifest_sha256'] == tested['manifest_sha256'] and own['metrics'] == tested['metrics']
    with pytest.raises(ValueError, match='CouplingHook: the config has no ProbeDataset .*add one'):
        train(tmp_path / 'none', [dict(type='CouplingHook')])


def test_an_interval_below_one_epoch_is_an_error():
    with pytest.raises(ValueError, match='interval must be a whole number of at least 1, got 0'):
        CouplingHook(interval=0)
