"""The options `device_photometric` and `device_views` in runs of every method, and the share of waiting for data."""

import json
import time
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseDataPreprocessor
from torch.utils.data import DataLoader

from mmdecouple.engine import PretrainRunner
from mmdecouple.engine.device_views import move_to_device
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.engine.loaders import seeded_loader
from mmdecouple.models import DensePreprocessor
from mmdecouple.models.data_preprocessor import IMAGENET_STD
from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import UserError
from tests.test_engine.toy import Toy, make_runner

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
METHODS = sorted(path.name for path in DEMO.glob('*_*-demo_scenes.py') if '-' not in path.name.partition('_')[0])
TINY = {
    'train_cfg.max_epochs': 2,
    'train_dataloader.batch_size': 4,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.dataset.num_images': 8,
    'default_hooks.logger.interval': 1,
    'default_hooks.checkpoint.interval': 1,
    'param_scheduler': None,
    'randomness.seed': 3,
}
SMALL = {
    'model.backbone.stem_channels': 8,
    'model.backbone.base_channels': 8,
    'model.neck.in_channels': 32,
    'model.queue_length': 16,
    'optim_wrapper.precision': 'fp32',
}
OPTIONS = ('device_photometric', 'device_views')
WORKERS = {'train_dataloader.num_workers': 2}


@MODELS.register_module()
class OtherPreprocessor(BaseDataPreprocessor):
    """One that does not read the recorded changes."""


def prepared(config: str, **options) -> dict:
    """The first batch, after the data preprocessor."""
    config = load_config(str(DEMO / config), TINY | options)
    loader = seeded_loader(config.train_dataloader, seed=3)
    move_to_device(loader, config)
    return DensePreprocessor()(next(iter(loader)), True)


@pytest.mark.parametrize('option', OPTIONS)
@pytest.mark.parametrize('config', METHODS)
def test_every_method_gets_the_same_views_within_two_levels(config, option):
    one, other = prepared(config), prepared(config, **{option: True})
    colored = not config.startswith(('maskalign', 'unirefiner'))
    assert any(hasattr(sample, 'operations') for sample in other['data_samples']) == colored
    assert all(hasattr(sample, 'recipes') == (option == 'device_views') for sample in other['data_samples'])
    for sample, same in zip(one['data_samples'], other['data_samples']):
        assert torch.equal(sample.geometry, same.geometry)
        assert not hasattr(sample, 'boxes') or torch.equal(sample.boxes, same.boxes)
    levels = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    for view, same in zip(one['inputs'], other['inputs']):
        assert ((view - same) * levels).abs().max() < 2.01


def test_workers_do_not_change_the_views():
    alone, together = (prepared('densecl_resnet-demo_scenes.py', device_views=True, **more) for more in ({}, WORKERS))
    assert all(torch.equal(*pair) for pair in zip(alone['inputs'], together['inputs']))


def train(folder: Path, option: str = 'device_views', **options) -> dict[str, torch.Tensor]:
    config = load_config(str(DEMO / 'densecl-d_resnet-demo_scenes.py'), TINY | SMALL | {option: True} | options)
    config.work_dir, config.experiment_name = str(folder), f'{folder.parent.name}_{folder.name}'
    config.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    runner = PretrainRunner.from_cfg(config)
    runner.train()
    return bare_model(runner).state_dict()


def test_a_resume_continues_bit_for_bit_and_every_log_has_the_share_of_waiting(tmp_path):
    whole = train(tmp_path / 'whole')
    resumed = train(tmp_path / 'resumed', resume=True, load_from=str(tmp_path / 'whole' / 'epoch_1.pth'), **WORKERS)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    (log,) = (tmp_path / 'whole').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 4 and all(0 <= line['data_share'] <= 1 for line in lines)


@pytest.mark.slow
def test_both_options_train_the_same_as_the_loader_up_to_rounding(tmp_path):
    plain, *others = (train(tmp_path / option, option) for option in ('elastic', *OPTIONS))
    for other in others:
        for name, value in plain.items():
            torch.testing.assert_close(other[name].float(), value.float(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize('option', OPTIONS)
@pytest.mark.parametrize(
    'preprocessor, named',
    [(dict(type='OtherPreprocessor'), 'OtherPreprocessor'), (dict(type='mmengine.ImgDataPreprocessor'), 'Img')],
)
def test_a_preprocessor_that_would_leave_the_colors_out_is_refused_before_anything_is_written(
    tmp_path, preprocessor, named, option
):
    with pytest.raises(UserError, match=named) as error:
        train(tmp_path / 'run', option, **{'model.data_preprocessor': dict(preprocessor, _delete_=True)})
    assert '\n' not in str(error.value) and 'config key model.data_preprocessor.type' in str(error.value)
    assert not [path for path in (tmp_path / 'run').rglob('*') if path.is_file()]


@pytest.mark.parametrize(
    'changes, key',
    [
        ({'train_dataloader.collate_fn.type': 'pseudo_collate'}, 'collate_fn'),
        ({'train_dataloader.dataset.pipeline': []}, 'dataset.pipeline'),
    ],
)
def test_a_loader_that_cannot_pass_on_whole_images_is_refused(changes, key):
    with pytest.raises(UserError, match=f'device_views=True .*config key train_dataloader.{key}') as error:
        prepared('densecl_resnet-demo_scenes.py', device_views=True, **changes)
    assert '\n' not in str(error.value)


class Slow(list):
    """A data set whose items take the time that they contain, in seconds."""

    def __getitem__(self, index):
        item = super().__getitem__(index)
        time.sleep(item['inputs'].item())
        return item


def test_the_share_of_waiting_is_the_ratio_of_the_sums_over_the_last_iterations(tmp_path):
    waits = [0.2, 0.0, 0.1, 0.0]
    loader = DataLoader(Slow(dict(inputs=torch.tensor([wait])) for wait in waits), batch_size=1)
    runner = make_runner(tmp_path, Toy(), [], loader=loader, log_processor=dict(window_size=2))
    runner.train()
    waited, whole, share = (
        runner.message_hub.get_scalar(f'train/{name}') for name in ('data_time', 'time', 'data_share')
    )
    for step in range(4):
        last = slice(max(0, step - 1), step + 1)
        ratio = waited.data[0][last].sum() / whole.data[0][last].sum()
        assert share.data[0][step] == pytest.approx(ratio, rel=1e-6)
    assert waited.data[0].sum() >= 0.3 and share.data[0].max() <= 1
