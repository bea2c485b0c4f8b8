"""Two processes on this machine train and test through the launch scripts."""

import json
import math
import socket
import sys

import pytest
import torch

from .conftest import CHECKOUT_TOOLS, ROOT, run


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return str(free.getsockname()[1])


def test_two_gloo_processes_learn_what_one_learns_from_the_joint_batch(toy, tmp_path, port):
    settings = dict(toy_folder=toy, cwd=tmp_path, extra_env=dict(PORT=port))
    config = toy / 'toy_line.py'
    run([CHECKOUT_TOOLS / 'dist_train.sh', config, 2, '--work-dir', 'two'], **settings)
    run(
        [
            sys.executable,
            CHECKOUT_TOOLS / 'train.py',
            config,
            '--work-dir',
            'one',
            '--cfg-options',
            'train_dataloader.batch_size=4',
        ],
        **settings,
    )
    two, one = (
        torch.load(tmp_path / name / 'epoch_1.pth', weights_only=False)['state_dict'] for name in ('two', 'one')
    )
    torch.testing.assert_close(two, one)

    run([CHECKOUT_TOOLS / 'dist_test.sh', config, 'two/epoch_1.pth', 2, '--out', 'measured'], **settings)
    assert json.loads((tmp_path / 'measured' / 'metrics.json').read_text())['count'] == 8


def test_decoupled_pretraining_runs_in_two_gloo_processes(toy, tmp_path):
    config = ROOT / 'configs' / 'demo' / 'densecl-d_resnet-demo_scenes.py'
    run(
        [
            sys.executable,
            CHECKOUT_TOOLS / 'train.py',
            config,
            '--gpus',
            2,
            '--out',
            'run',
            '--cfg-options',
            'train_dataloader.dataset.num_images=32',
            'train_dataloader.batch_size=8',
            'train_cfg.max_epochs=1',
            'default_hooks.checkpoint.interval=1',
            'default_hooks.logger.interval=1',
        ],
        toy_folder=toy,
        cwd=tmp_path,
    )
    [scalars] = tmp_path.glob('run/*/vis_data/scalars.json')
    records = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert len(records) == 2 and all(math.isfinite(record['decoupling']) for record in records)
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()
