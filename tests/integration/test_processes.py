"""Two processes learn what one learns from the joint batch; no process searches for unused parameters."""

import json

import pytest
import torch

from mmdecouple.engine import read_checkpoint
from tests.integration.joint_case import JOINT
from tests.integration.runs import train, write_case


def trained(case, method, processes):
    """Losses of each of six iterations, and the last weights."""
    work_dir = f'{method}_{processes}'
    options = (f'train_dataloader.batch_size={8 // processes}',)
    done = train(case, work_dir, method=f'joint_{method}', options=options, processes=processes)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((case / work_dir / 'losses.json').read_text()), read_checkpoint(
        str(case / work_dir / 'iter_6.pth')
    )['state_dict']


@pytest.mark.parametrize(
    'method',
    [
        'ibot-d',
        pytest.param('ibot', marks=pytest.mark.slow),
        pytest.param('maskalign', marks=pytest.mark.slow),
        pytest.param('maskalign-d', marks=pytest.mark.slow),
        pytest.param('soco', marks=pytest.mark.slow),
        'soco-d',
        pytest.param('pixpro', marks=pytest.mark.slow),
        'pixpro-d',
        pytest.param('leopart', marks=pytest.mark.slow),
        pytest.param('leopart-d', marks=pytest.mark.slow),
    ],
)
def test_two_processes_lose_what_one_loses_on_the_joint_batch(tmp_path, method):
    case = write_case(tmp_path)
    (case / f'joint_{method}.py').write_text(JOINT.replace('{method}', method))
    (one, weights), (two, others) = (trained(case, method, processes) for processes in (1, 2))
    assert len(one) == len(two) == 6 and one[0] != one[5]
    for step, (expected, losses) in enumerate(zip(one, two)):
        assert losses == pytest.approx(expected, rel=1e-5), step
    for name in weights:
        if name.endswith('_center.value'):
            torch.testing.assert_close(others[name], weights[name], rtol=1e-4, atol=1e-6)
