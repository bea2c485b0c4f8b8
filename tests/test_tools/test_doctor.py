"""The doctor says "ready" only if a run was tried and worked."""

import sys
from importlib import import_module

import pytest

from mmdecouple.engine import PretrainRunner
from mmdecouple.runs import abilities, trial


@pytest.fixture
def doctor():
    return import_module('mmdecouple.commands.doctor')


def test_help_is_help(doctor, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['doctor.py', '--help'])
    monkeypatch.setattr(doctor, 'examine', lambda ability: pytest.fail('it ran the diagnosis'))
    with pytest.raises(SystemExit) as end:
        doctor.main()
    assert end.value.code == 0 and 'usage: doctor.py' in capsys.readouterr().out


def test_the_trial_takes_two_steps_and_reads_what_it_wrote():
    assert trial.try_training() == 'ready: two steps, checkpoints written and read'


def test_the_trial_fails_where_no_checkpoint_is_written(monkeypatch):
    monkeypatch.setattr(PretrainRunner, 'save_checkpoint', lambda *args, **kwargs: None)
    with pytest.raises(RuntimeError, match='checkpoints are missing'):
        trial.try_training()


def test_every_problem_is_one_line_with_its_remedy(doctor, monkeypatch, capsys):
    monkeypatch.setattr(doctor, 'examine', lambda ability: (False, 'the reason'))
    with pytest.raises(SystemExit) as end:
        doctor.main([])
    assert end.value.code == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('to fix ')]
    assert len(lines) == len(doctor.ABILITIES) and lines[0].startswith('to fix pre-training: ')


def test_what_gives_no_answer_does_not_work(monkeypatch):
    monkeypatch.setattr(abilities, 'LONGEST', 0.5)
    works, note = abilities.examine(abilities.Ability('sleep', 'import time; time.sleep(60)', 'wake up'))
    assert not works and note == 'no result within 0.5 seconds'
