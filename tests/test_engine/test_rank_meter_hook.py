"""The effective rank in the log of every method, and that a run is the same with and without it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdecouple.engine import PretrainRunner
from mmdecouple.engine.hooks.rank_meter_hook import RankMeterHook, effective_rank, pooled_features
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.models.backbones import dense_map
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import UserError

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
TINY = {
    'train_cfg.max_epochs': 1,
    'train_dataloader.batch_size': 8,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.dataset.num_images': 40,
    'default_hooks.logger.interval': 1,
    'param_scheduler': None,
    'randomness.seed': 3,
}


def rank_in_numpy(features: np.ndarray) -> float:
    """The exponential of Shannon's entropy, from the eigenvalues of the Gram matrix instead of a decomposition."""
    values = np.sqrt(np.clip(np.linalg.eigvalsh(features @ features.T), 0, None))
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize('images, channels, rank', [(8, 32, 8), (32, 8, 8), (16, 16, 3), (16, 24, 1)])
def test_the_rank_of_equally_long_directions_is_their_number(images, channels, rank):
    left = torch.linalg.qr(torch.randn(images, rank, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(channels, rank, dtype=torch.float64)).Q
    assert effective_rank(5 * left @ right.T) == pytest.approx(rank, rel=1e-4)


def test_the_rank_is_the_entropy_of_the_singular_values():
    features = np.random.default_rng(0).normal(size=(24, 40)) @ np.diag(np.linspace(0.1, 3, 40))
    assert effective_rank(torch.from_numpy(features)) == pytest.approx(rank_in_numpy(features), rel=1e-4)
    # Two singular values 3 and 1: shares 3/4 and 1/4.
    two = torch.diag(torch.tensor([3.0, 1.0]))
    assert effective_rank(two) == pytest.approx(4 / 3**0.75, rel=1e-5)
    assert effective_rank(torch.zeros(4, 4)) == pytest.approx(1, abs=1e-4)


def train(folder: Path, config: str, hooks: list[dict], **options) -> PretrainRunner:
    config = load_config(str(DEMO / config))
    config.merge_from_dict(TINY | options)
    config.work_dir, config.custom_hooks = str(folder), hooks
    config.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    config.experiment_name = f'{folder.parent.name}_{folder.name}'
    runner = PretrainRunner.from_cfg(config)
    runner.train()
    return runner


CONFIGS = ['densecl-d_resnet-demo_scenes.py', 'ibot-d_vit-demo_scenes.py']


@pytest.mark.parametrize('config', CONFIGS)
def test_a_run_is_the_same_bits_whether_it_is_measured_or_not(tmp_path, config):
    """In bf16: casts that the meter made would be found by the step in the cache of autocast, without gradients."""
    often, never = (
        bare_model(
            train(
                tmp_path / str(interval),
                config,
                [dict(type='RankMeterHook', interval=interval, images=4)],
                **{'optim_wrapper.precision': 'bf16'},
            )
        ).state_dict()
        for interval in (2, 1000)
    )
    assert often.keys() == never.keys() and all(torch.equal(often[key], never[key]) for key in often)


def test_the_log_has_it_at_the_first_and_then_at_every_nth_iteration(tmp_path):
    runner = train(tmp_path, CONFIGS[0], [dict(type='RankMeterHook', interval=2, images=6)])
    history = runner.message_hub.get_scalar('train/effective_rank').data[0]
    assert len(history) == 3 and all(1 < value <= 6 for value in history)
    (path,) = tmp_path.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line['effective_rank'] for line in lines if line.get('step') == 4] == pytest.approx([history[2]])


def test_what_is_pooled_is_the_map_that_the_measures_read(tmp_path):
    runner = train(tmp_path, CONFIGS[1], [])
    model = bare_model(runner).train()
    images = torch.randn(3, 3, 64, 64)
    pooled = pooled_features(model, images)
    assert all(module.training for module in model.measured_backbone.modules())
    model.eval()
    with torch.no_grad():
        expected = dense_map(model.measured_backbone, images).mean((2, 3))
    assert torch.equal(pooled, expected)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize('setting, value', [('interval', 0), ('images', 1), ('images', 2.5)])
def test_settings(setting, value):
    with pytest.raises(UserError, match=rf'custom_hooks.*{setting}'):
        RankMeterHook(**{setting: value})
