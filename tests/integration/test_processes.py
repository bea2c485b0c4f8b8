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
        'posttrain-d',
        pytest.param('ibot', marks=pytest.mark.slow),
        pytest.param('maskalign', marks=pytest.mark.slow),
        pytest.param('maskalign-d', marks=pytest.mark.slow),
        pytest.param('soco', marks=pytest.mark.slow),
        'soco-d',
        pytest.param('pixpro', marks=pytest.mark.slow),
        'pixpro-d',
        pytest.param('leopart', marks=pytest.mark.slow),
        pytest.param('leopart-d', marks=pytest.mark.slow),
        pytest.param('neco', marks=pytest.mark.slow),
        'neco-d',
        pytest.param('paka', marks=pytest.mark.slow),
        'paka-d',
        'ibot_head-d',
        pytest.param('resim', marks=pytest.mark.slow),
        'resim-d',
    ],
)
def test_two_processes_lose_what_one_loses_on_the_joint_batch(tmp_path, method):
    case = write_case(tmp_path)
    (case / f'joint_{method}.py').write_text(JOINT.replace('{method}', method))
    (one, weights), (two, others) = (trained(case, method, processes) for processes in (1, 2))
    assert len(one) == len(two) == 6 and one[0] != one[5]
    for step, (expected, losses) in enumerate(zip(one, two)):
        # 1 - CKA of PaKA-D starts near zero, where float32 keeps few digits.
        assert losses == pytest.approx(expected, rel=1e-5, abs=1e-7), step
    for name in weights:
        if name.endswith('_center.value'):
            torch.testing.assert_close(others[name], weights[name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_an_elastic_run_keeps_the_samples_of_every_step(tmp_path):
    """Two processes, then one, then two, at the same total batch; a rank notes which images it saw."""
    case = write_case(tmp_path)

    def life(processes, batch, until, *arguments):
        options = (f'train_dataloader.batch_size={batch}',)
        hook = dict(type='SamplesHook', folder=str(case / 'samples'), stop=until)
        return train(case, 'elastic', *arguments, processes=processes, options=options, hook=hook)

    assert life(2, 2, 7).returncode == 0
    refused = life(1, 4, 12, '--resume')
    assert refused.returncode == 1 and '--elastic allows another number of processes' in refused.stderr
    refused = life(1, 2, 12, '--resume', '--elastic')
    assert refused.returncode == 1 and 'the batch of all processes was 4 and is 2 now' in refused.stderr
    assert life(1, 4, 12, '--resume', '--elastic').returncode == 0
    assert life(2, 2, 99, '--resume', '--elastic').returncode == 0
    found = seen(case / 'samples')
    hook = dict(type='SamplesHook', folder=str(case / 'expected'), stop=99)
    assert train(case, 'inelastic', options=('train_dataloader.batch_size=4',), hook=hook).returncode == 0
    assert len(found) == 18 and found == seen(case / 'expected')


def seen(folder):
    """Iteration -> sorted names of the images that all processes saw in it."""
    found = {}
    for path in folder.glob('*.json'):
        number = int(path.stem.split('_')[0])
        found.setdefault(number, []).extend(json.loads(path.read_text()))
    return {number: sorted(names) for number, names in found.items()}
