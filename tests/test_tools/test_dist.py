"""Two processes on this machine train and test through the launch scripts."""
import json
import socket

import pytest

from .conftest import CHECKOUT_TOOLS, run


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return str(free.getsockname()[1])


def test_two_gloo_processes_train_and_test_as_one_run(toy, tmp_path, port):
    settings = dict(toy_folder=toy, cwd=tmp_path, extra_env=dict(PORT=port))
    config = toy / 'toy_line.py'
    run([CHECKOUT_TOOLS / 'dist_train.sh', config, 2, '--work-dir', 'run'], **settings)
    records = [json.loads(line) for path in tmp_path.glob('run/*/vis_data/scalars.json')
               for line in path.read_text().splitlines()]
    run([CHECKOUT_TOOLS / 'dist_test.sh', config, 'run/epoch_1.pth', 2,
         '--work-dir', 'run', '--out', 'out.json'], **settings)
    assert json.loads((tmp_path / 'out.json').read_text())['count'] == 8
    assert len(list(tmp_path.glob('run/*/vis_data'))) == 2 and isinstance(records, list)
