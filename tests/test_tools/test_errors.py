"""A user's mistake gives one line; a mistake of ours keeps its traceback."""
import sys

import pytest

from mmdecouple.utils.errors import deliberate_message
from mmdecouple.utils.launch import choose_device, existing_checkpoint

from .conftest import CHECKOUT_TOOLS, run


def caught(call):
    with pytest.raises(Exception) as info:
        call()
    return info.value


def test_an_error_raised_on_purpose_has_a_message():
    error = caught(lambda: choose_device('tpu'))
    assert deliberate_message(error) == (
        "device must be auto, cpu or cuda, got 'tpu' (config key device).")


def test_an_error_wrapped_by_a_framework_keeps_our_message():
    def wrapped():
        try:
            existing_checkpoint('absent.pth')
        except FileNotFoundError as error:
            raise RuntimeError('class `X` in y.py: ...') from error
    assert deliberate_message(caught(wrapped)) == 'checkpoint absent.pth does not exist.'


def test_an_error_of_python_inside_our_code_is_a_bug():
    assert deliberate_message(caught(lambda: existing_checkpoint(3))) is None


@pytest.mark.parametrize('arguments, line', [
    (['train.py', 'absent.py'], 'config absent.py does not exist'),
    (['train.py', '{toy}', '--device', 'cuda'], 'CUDA was asked for'),
    (['train.py', '{toy}', '--cfg-options', 'train_cfg=None'], 'it has no train_cfg'),
    (['test.py', '{toy}', 'absent.pth'], 'checkpoint absent.pth does not exist'),
], ids=['no config', 'no cuda', 'no training', 'no checkpoint'])
def test_tools_answer_a_mistake_with_one_line(arguments, line, toy, tmp_path):
    config = str(toy / 'toy_line.py')
    script, *others = [argument.replace('{toy}', config) for argument in arguments]
    command = [sys.executable, CHECKOUT_TOOLS / script, *others]
    output = run(command, toy_folder=toy, cwd=tmp_path, ok=False)
    assert len(output.strip().splitlines()) == 1 and line in output
