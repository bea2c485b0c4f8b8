"""From a checkpoint of pre-training to a row of numbers, through processes of its own, also when one is killed."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from mmdecouple.registry import MODELS
from mmdecouple.utils.compatibility import CPU_SUPPORTS_FP16
from mmdecouple.utils.configs import load_config
from tests.integration.runs import ROOT
from tests.integration.transfer_case import checkpoint, command, environment, write_transfer_case

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    return write_transfer_case(tmp_path_factory.mktemp('transfer'))


def run(words, ok=True):
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=280)
    assert (done.returncode == 0) == ok, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def rows(case):
    path = case / 'out' / 'results.jsonl'
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def wait_for(found, process, seconds=240):
    deadline = time.monotonic() + seconds
    while not found():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)


def test_a_detector_killed_in_the_middle_resumes_and_ends_in_a_row_that_test_reads_back(case):
    words = command(case, 'coco-mask-rcnn-fpn')
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    # Written after the checkpoint that it names, iter_4.pth.
    wait_for(lambda: list((case / 'out').glob('*/*/last_checkpoint')), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not rows(case)
    text = run(words)
    assert 'resumed epoch: 0, iter: ' in text
    (row,) = rows(case)
    assert row['method'] == 'DenseCL-D' and row['role'] == 'student' and row['batch'] == '1 x 2'
    assert 0 <= row['metrics']['coco/bbox_mAP'] <= 1 and 'coco/segm_mAP' in row['metrics']
    assert '| DenseCL-D |' in (case / 'out' / 'results.md').read_text()
    again = run(words)
    assert 'Iter(' not in again and rows(case) == [row]
    out = case / 'again' / 'metrics.json'
    run(
        [
            words[0],
            str(ROOT / 'tools/test.py'),
            str(case / 'out' / row['trained_config']),
            str(case / 'out' / row['trained']),
            '--device',
            'cpu',
            '--out',
            str(case / 'again'),
        ]
    )
    assert json.loads(out.read_text())['coco/bbox_mAP'] == row['metrics']['coco/bbox_mAP']
    # Training can be repeated from it.
    config = load_config(str(case / 'out' / row['trained_config']))
    assert config.load_from is None and not config.resume


def test_a_segmentor_takes_the_teacher_of_ibot_and_starts_from_its_very_weights(case):
    run(
        command(
            case,
            'ade-upernet',
            '--precision',
            'fp16' if CPU_SUPPORTS_FP16 else 'bf16',
            options=('optim_wrapper.optimizer.lr=0.', 'optim_wrapper.optimizer.weight_decay=0.'),
        )
    )
    row = rows(case)[-1]
    assert (row['method'], row['role']) == ('IBOT', 'teacher') and 'mIoU' in row['metrics']
    before = torch.load(checkpoint(case, 'ibot'), weights_only=False)['state_dict']
    after = torch.load(case / 'out' / row['trained'], weights_only=False)['state_dict']
    same = [key for key in after if key.startswith('backbone.') and 'pos_embed' not in key]
    assert len(same) > 40 and all(torch.equal(after[key], before[f'teacher.{key}']) for key in same)
    assert after['backbone.pos_embed'].shape[1] == 65


def test_two_processes_train_a_larger_batch_in_bf16_at_a_rate_in_proportion(case):
    # Norms are synchronized on GPUs only.
    parts = ('backbone', 'neck', 'roi_head.bbox_head', 'roi_head.mask_head')
    text = run(
        command(
            case,
            'coco-mask-rcnn-fpn',
            '--launcher',
            'pytorch',
            '--gpus',
            '2',
            '--precision',
            'bf16',
            options=('train_cfg.max_iters=2', *(f'model.{part}.norm_cfg.type=BN' for part in parts)),
        )
    )
    assert 'Traceback' not in text
    row = rows(case)[-1]
    assert row['batch'] == '2 x 2'
    scalars = min((case / 'out' / row['trained']).parent.glob('*/vis_data/scalars.json'))
    # The smoke run is for a batch of 2 at 0.02, and begins with a tenth of it.
    assert json.loads(scalars.read_text().splitlines()[0])['lr'] == pytest.approx(0.1 * 2 * 0.02)


@pytest.mark.parametrize('task, metric', [('coco-mask-rcnn-fpn', 'coco/segm_mAP'), ('ade-upernet', 'mIoU')])
def test_real_images_give_a_row_too(case, coco128, task, metric):
    run(
        command(
            case,
            task,
            smoke='coco128',
            data=coco128,
            options=('train_cfg.max_iters=2', 'test_dataloader.dataset.indices=4'),
        )
    )
    row = rows(case)[-1]
    assert row['task'] == f'{task} (coco128, a smoke run)' and metric in row['metrics']


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """Untrained networks of the demo: what is learned by heart is learned in fine-tuning."""
    folder = tmp_path_factory.mktemp('demo')
    for name in ('densecl_resnet-demo_scenes', 'ibot_vit-demo_scenes'):
        model = MODELS.build(load_config(f'mmdecouple::demo/{name}.py').model)
        torch.save(dict(state_dict=model.state_dict()), folder / f'{name.partition("_")[0]}.pth')
    return folder


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    'method, task, arch, metric, least',
    [
        ('densecl', 'coco-mask-rcnn-fpn', 'resnet-demo', 'coco/bbox_mAP', 0.5),
        ('ibot', 'ade-upernet', 'vit-demo', 'mIoU', 30),
    ],
)
def test_eight_scenes_are_learned_by_heart(demo, method, task, arch, metric, least):
    words = [
        sys.executable,
        str(ROOT / 'tools/transfer.py'),
        str(demo / f'{method}.pth'),
        '--task',
        task,
        '--arch',
        arch,
        '--smoke',
        'overfit',
        '--out',
        str(demo / 'out'),
        '--device',
        'cpu',
    ]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stderr[-3000:]
    row = json.loads((demo / 'out' / 'results.jsonl').read_text().splitlines()[-1])
    assert row['metrics'][metric] > least and row['arch'] == arch


@pytest.mark.cuda
@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
@pytest.mark.parametrize('task', ['coco-mask-rcnn-fpn', 'ade-upernet'])
def test_mixed_precision_trains_on_the_gpu(case, task, precision):
    text = run(command(case, task, '--precision', precision, '--device', 'cuda'))
    losses = [float(value) for value in re.findall(r' loss: (\S+)', text)]
    assert len(losses) == 12 and all(math.isfinite(value) for value in losses)
    assert rows(case)[-1]['device'] != 'cpu'
