"""Curves of a run that is resumed."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.visualization import Visualizer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.test_engine.toy import Toy, make_runner


def train(folder: Path, epochs: int, backend: dict, **options) -> None:
    """Trains four iterations per epoch from the newest checkpoint, logs each, and saves after every second."""
    # Another process has no instances; mmengine names them by the second of the start.
    Visualizer._instance_dict.clear()
    runner = make_runner(
        folder,
        Toy(),
        [],
        epochs=epochs,
        checkpoint=dict(type='DurableCheckpointHook', interval=1, max_keep_ckpts=10),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), backend]),
        cfg=Config(dict(work_dir=str(folder))),
        resume=True,
        **options,
    )
    next(hook for hook in runner.hooks if type(hook).__name__ == 'LoggerHook').interval = 1
    runner.train()


def test_tensorboard_has_one_curve_after_a_resume_from_an_earlier_iteration(tmp_path):
    backend = dict(type='TensorboardVisBackend')
    train(tmp_path, 2, backend)
    (tmp_path / 'epoch_2.pth').unlink()
    (tmp_path / 'last_checkpoint').unlink(missing_ok=True)
    train(tmp_path, 3, backend)
    assert not list(tmp_path.glob('*/vis_data/events.*')), 'a folder of its own would be a curve of its own'
    events = EventAccumulator(str(tmp_path / 'tensorboard')).Reload()
    points = events.Scalars('loss')
    assert [point.step for point in points] == list(range(1, 13))
    rows = [
        json.loads(line)
        for path in sorted(tmp_path.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    latest = {row['step']: row['loss'] for row in rows}
    assert len(rows) == 16 and [point.value for point in points] == pytest.approx([latest[step] for step in latest])


def test_a_loss_is_recorded_smoothed_and_as_it_is(tmp_path):
    train(tmp_path, 2, dict(type='TensorboardVisBackend'), log_processor=dict(window_size=3))
    events = EventAccumulator(str(tmp_path / 'tensorboard')).Reload()
    smoothed, raw = ([point.value for point in events.Scalars(name)] for name in ('loss_main', 'raw/loss_main'))
    means = [sum(raw[max(0, index - 2) : index + 1]) / min(index + 1, 3) for index in range(len(raw))]
    assert len(set(raw)) > 4 and smoothed == pytest.approx(means)
    assert 'raw/' not in next(tmp_path.glob('*/*.log')).read_text()


class FakeWandb(ModuleType):
    """What the backend calls of the service's library."""

    def __init__(self):
        super().__init__('wandb')
        self.starts, self.points, self.ended = [], [], 0

    def init(self, **kwargs):
        self.starts.append(kwargs)

    def define_metric(self, *args, **kwargs):
        pass

    def log(self, values, step=None, commit=None):
        self.points.append((step, values['raw/loss']))

    def finish(self):
        self.ended += 1

    config = SimpleNamespace(update=lambda *args, **kwargs: None)
    run = SimpleNamespace(log_code=lambda *args, **kwargs: None)


def test_the_run_of_wandb_keeps_its_id_and_counts_iterations(tmp_path, monkeypatch):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    for epochs in (1, 2):
        train(tmp_path, epochs, dict(type='WandbVisBackend', init_kwargs=dict(project='mine')))
    first, second = wandb.starts
    assert first == second and first['id'] == (tmp_path / 'current_run').read_text().strip()
    assert (first['project'], first['resume'], first['dir']) == ('mine', 'allow', str(tmp_path))
    assert [step for step, _ in wandb.points] == list(range(1, 9)) and wandb.ended == 2
