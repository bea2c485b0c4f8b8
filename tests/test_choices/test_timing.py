"""A training without a config from end to end, and the measurement of its speed."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mmdecouple.choices.timing import StepTimer, _Measured


class Clock:
    """Clock that steps set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def timed(durations, skipped: int):
    clock = Clock()
    timer = StepTimer(skipped, clock)
    with suppress(_Measured):
        for duration in durations:
            clock.now += duration
            timer.after_train_iter(SimpleNamespace(), 0)
    return timer.speed(started=100.0)


def test_the_speed_is_the_mean_after_the_batches_that_were_prepared_before():
    speed = timed([9, 1, 1, 1] + [2] * 100, skipped=4)
    assert (speed.step, speed.start, speed.steps) == (2, 9, 8)
    assert timed([9] + [0.5] * 100, skipped=0).steps == 10


def test_a_slow_machine_is_measured_for_less_than_a_minute():
    speed = timed([9] + [20] * 100, skipped=10)
    assert speed.step == 20 and speed.steps == 2
    assert timed([30], skipped=10).step == 30


def train(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, '-m', 'mmdecouple', 'train', '--device', 'cpu', *map(str, words)]
    env = {**os.environ, 'COLUMNS': '160'}
    return subprocess.run(command, capture_output=True, text=True, timeout=900, env=env)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_photos_are_trained_by_one_command_that_continues_itself(tmp_path):
    photos, out = tmp_path / 'photos', tmp_path / 'run'
    photos.mkdir()
    for index in range(8):
        image = np.random.default_rng(index).integers(0, 255, (90, 120, 3), dtype=np.uint8)
        cv2.imwrite(str(photos / f'{index}.jpg'), image)
    words = ('--data', photos, '--method', 'ibot-d', '--out', out, '--epochs', 2, '--seed', 1)
    words += ('--cfg-options', 'default_hooks.checkpoint.interval=1')
    done = train(*words)
    assert done.returncode == 0, done.stderr
    assert 'batch size' in done.stdout and 's per step' in done.stdout and 'Trained in about' in done.stdout
    assert (out / 'epoch_2.pth').is_file()
    record = json.loads((out / 'chosen' / 'choices.json').read_text())
    (out / 'epoch_2.pth').unlink()
    again = train(*words)
    assert again.returncode == 0, again.stderr
    assert 'resumed epoch: 1' in again.stdout + again.stderr and (out / 'epoch_2.pth').is_file()
    assert json.loads((out / 'chosen' / 'choices.json').read_text()) == record
    refused = train(*words, 'model.decoupling.loss_weight=0.5')
    assert refused.returncode == 1 and 'another --cfg-options' in refused.stderr

    for path in photos.iterdir():
        path.write_bytes(b'no image')
    broken = train(*words[:5], tmp_path / 'other')
    assert broken.returncode == 1 and len(broken.stderr.strip().splitlines()) == 1, broken.stderr
    assert 'none of the 8 images can be read' in broken.stderr and not (tmp_path / 'other').exists()
