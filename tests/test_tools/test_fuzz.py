"""The fuzzing campaign: it notices every kind of failure, and a short one finds none."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mmdecouple.utils.errors import PREFIX, UserError

from .conftest import CHECKOUT_TOOLS

sys.path.append(str(CHECKOUT_TOOLS / 'reliability'))
import fuzz
import trial_process
import trials


def refuse(_):
    raise UserError('a file\nis wrong')


def end(text):
    def program(_):
        print(text, file=sys.stderr)
        raise SystemExit(1)

    return program


def accept(_):
    raise trial_process.Accepted('taken as it is')


@pytest.mark.parametrize(
    'call, kind, message',
    [
        (lambda _: None, 'success', ''),
        (refuse, 'refused', 'a file is wrong'),
        (end(f'{PREFIX}wrong'), 'refused', f'{PREFIX}wrong'),
        (end(f'{PREFIX}wrong' + 'x' * 300), 'long line', 'wrong'),
        (end(f'{PREFIX}one\n{PREFIX}two'), 'traceback', 'two'),
        (end('Traceback (most recent call last):\nKeyError: error: '), 'traceback', 'KeyError'),
        (lambda _: {}['absent'], 'traceback', 'absent'),
        (accept, 'silent', 'taken as it is'),
        (lambda _: time.sleep(60), 'hang', ''),
        (lambda _: os.kill(os.getpid(), signal.SIGKILL), 'crash', '-9'),
        (lambda _: subprocess.run(['true']), 'escape', 'true'),
        (lambda _: os.mkdir('/tmp/not-in-the-folder-of-the-trials/x'), 'escape', 'not-in-the-folder'),
        (lambda _: open(os.path.join('..', 'beside'), 'w').close(), 'escape', 'beside'),
        (lambda _: open('within', 'w').close(), 'success', ''),
    ],
)
def test_every_way_to_end_is_told_from_the_others(call, kind, message, tmp_path):
    (_, first), (_, second) = trials.run_trials(call, 'ab', tmp_path / 'work', 0.5, 2)
    assert first.kind == second.kind == kind and message in first.message


def test_a_short_campaign_finds_nothing(tmp_path):
    for what, count in (('annotations', 150), ('weights', 40)):
        code = fuzz.main([what, '--trials', str(count), '--out', str(tmp_path)])
        counts = json.loads((tmp_path / what / 'counts.json').read_text())
        failures = [path.read_text() for path in (tmp_path / what).glob('failures/*.txt')]
        assert code == 0 and counts['trials'] == count and counts['failed'] == 0, failures
        assert counts['outcomes']['success'] and counts['outcomes']['refused']
