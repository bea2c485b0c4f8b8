"""Every way to train that the README names, tried on a tiny DenseCL-D through the runner."""

from pathlib import Path

import pytest
import torch

from mmdecouple.engine import PretrainRunner
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.utils.configs import load_config

CONFIG = Path(__file__).parents[2] / 'configs' / 'demo' / 'densecl-d_resnet-demo_scenes.py'
TINY = {
    'train_cfg.max_epochs': 1,
    'train_dataloader.batch_size': 8,
    'train_dataloader.dataset.num_images': 32,
    'model.backbone.stem_channels': 8,
    'model.backbone.base_channels': 8,
    'model.neck.in_channels': 32,
    'model.queue_length': 64,
    'model.data_preprocessor.channels_last': False,
    'optim_wrapper.precision': 'fp32',
    'optim_wrapper.optimizer.type': 'SGD',
    'optim_wrapper.optimizer.lr': 0.03,
    'param_scheduler': None,
    'randomness.seed': 3,
}


def train(folder: Path, options: dict) -> tuple[dict[str, torch.Tensor], float]:
    """Weights of the student's backbone after four iterations with these options, and the first loss."""
    config = load_config(str(CONFIG))
    config.merge_from_dict(TINY | options)
    config.work_dir = str(folder)
    config.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    config.experiment_name = f'{folder.parent.name}_{folder.name}'
    runner = PretrainRunner.from_cfg(config)
    runner.train()
    weights = {name: p.detach().clone() for name, p in bare_model(runner).backbone.named_parameters()}
    return weights, float(runner.message_hub.get_scalar('train/loss').data[0][0])


@pytest.fixture(scope='module')
def plain(tmp_path_factory) -> tuple[dict, dict, float]:
    """Weights at the start and at the end of the run without options, and its first loss."""
    start, _ = train(tmp_path_factory.mktemp('start'), {'optim_wrapper.optimizer.lr': 0.0})
    return start, *train(tmp_path_factory.mktemp('plain'), {})


def deviation(trained: dict, start: dict, end: dict) -> float:
    """Distance from the end of the plain run over the way that run went."""
    off = sum(((trained[name] - end[name]) ** 2).sum() for name in end)
    way = sum(((start[name] - end[name]) ** 2).sum() for name in end)
    return (off / way).sqrt().item()


@pytest.mark.parametrize(
    'options, bound',
    [
        pytest.param({}, 0, id='again'),
        pytest.param({'model.data_preprocessor.channels_last': True}, 0.01, id='channels_last'),
        pytest.param({'model.backbone.with_cp': True}, 0.01, id='activation_checkpointing'),
        pytest.param({'compile.backend': 'aot_eager'}, 0.01, id='compile', marks=pytest.mark.slow),
    ],
)
def test_option_goes_the_same_way_within_its_rounding(plain, tmp_path, options, bound):
    start, end, loss = plain
    trained, first = train(tmp_path, options)
    assert first == pytest.approx(loss, rel=bound)
    assert deviation(trained, start, end) <= bound


def test_bf16_starts_from_the_same_loss_and_goes_on(plain, tmp_path):
    start, end, loss = plain
    trained, first = train(tmp_path, {'optim_wrapper.precision': 'bf16'})
    assert first != loss and first == pytest.approx(loss, rel=0.01)
    assert deviation(trained, start, end) < 1


def test_accumulated_gradients_make_one_step_of_four(plain, tmp_path):
    start, end, _ = plain
    trained, _ = train(tmp_path, {'optim_wrapper.accumulative_counts': 4})
    assert 0.5 < deviation(trained, start, end) < 1.1
