import errno
import os
import shutil
import sys
from copy import deepcopy

import pytest
from mmengine.config import Config
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend, Visualizer

from mmdecouple.runs.loggers import start_backends
from mmdecouple.utils.errors import WrongInstallation, user_message
from tests.test_engine.toy import Toy, make_runner

BACKENDS = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]


def run(folder, call):
    """A run of four iterations that logs each; a function is called after the second."""
    model = Toy()
    runner = make_runner(
        folder, model, [], visualizer=dict(type='Visualizer', vis_backends=deepcopy(BACKENDS)), cfg=Config(dict(a=1))
    )
    next(hook for hook in runner.hooks if type(hook).__name__ == 'LoggerHook').interval = 1
    forward = model.forward

    def watched(*args, **kwargs):
        if model.calls == 2:
            call(runner)
        return forward(*args, **kwargs)

    model.forward = watched
    runner.train()
    assert model.calls == 4


def delete(folder):
    """Moves a folder away first: TensorBoard's thread may write a file while the tree is removed."""
    away = f'{folder}.deleted'
    os.rename(folder, away)
    shutil.rmtree(away, ignore_errors=True)


def test_a_log_folder_that_is_deleted_is_made_again(tmp_path):
    run(tmp_path, lambda runner: delete(runner.log_dir))
    scalars = next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()
    assert len(scalars) == 2
    text = next(tmp_path.glob('*/*.log')).read_text()
    assert text.count('Epoch(train)') == 2


@pytest.mark.parametrize('kind', [LocalVisBackend, TensorboardVisBackend])
def test_a_curve_that_cannot_be_written_is_warned_about_once_and_the_others_go_on(tmp_path, monkeypatch, kind):

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kind, 'add_scalars', full)
    run(tmp_path, lambda runner: None)
    text = next(tmp_path.glob('*/*.log')).read_text()
    assert text.count(f'{kind.__name__} cannot record any more') == 1 and 'No space left' in text
    if kind is TensorboardVisBackend:
        assert len(next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()) == 4


def test_a_log_that_cannot_be_written_is_said_once(tmp_path, capfd):
    def break_log(runner):
        # A file stands where the folder was: nothing can be made again.
        delete(runner.log_dir)
        with open(runner.log_dir, 'w'):
            pass

    run(tmp_path, break_log)
    errors = capfd.readouterr().err
    assert errors.count('.log cannot record any more') == 1 and 'Traceback' not in errors


@pytest.mark.parametrize(
    'kind, package',
    [
        ('WandbVisBackend', 'wandb'),
        ('MLflowVisBackend', 'mlflow'),
        ('ClearMLVisBackend', 'clearml'),
        ('NeptuneVisBackend', 'neptune'),
        ('AimVisBackend', 'aim'),
        ('TensorboardVisBackend', 'tensorboard'),
    ],
)
def test_a_missing_package_is_one_line_that_installs_it(tmp_path, monkeypatch, kind, package):
    if kind == 'TensorboardVisBackend':
        monkeypatch.delitem(sys.modules, 'torch.utils.tensorboard', raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    backends = Visualizer(vis_backends=[dict(type=kind)], save_dir=str(tmp_path))._vis_backends
    with pytest.raises(WrongInstallation) as caught:
        start_backends(backends)
    line = user_message(caught.value)
    assert f'pip install {package}' in line and kind in line and '\n' not in line
