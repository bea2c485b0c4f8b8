"""A user's mistake gives one line; a mistake of ours keeps its traceback."""

import importlib.util
import json
import os
import sys

import pytest
from torch.utils.data import DataLoader

from mmdecouple.runs.launch import choose_device, existing_checkpoint
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import MAX_LENGTH, UserError, one_line, user_message
from mmdecouple.utils.files import check_regular, check_writable, write_bytes
from mmdecouple.weights.checkpoint import DamagedCheckpoint, read_checkpoint
from mmdecouple.weights.weight_files import read_weights

from .conftest import CHECKOUT_TOOLS, run


def caught(call):
    with pytest.raises(Exception) as info:
        call()
    return info.value


def test_a_user_error_has_a_message():
    error = caught(lambda: choose_device('tpu'))
    assert user_message(error) == ("device must be auto, cpu or cuda, got 'tpu' (config key device).")


def test_an_error_wrapped_by_a_framework_keeps_our_message():
    def wrapped():
        try:
            existing_checkpoint('absent.pth')
        except FileNotFoundError as error:
            raise RuntimeError('class `X` in y.py: ...') from error

    assert user_message(caught(wrapped)) == 'checkpoint absent.pth does not exist; check the path.'


def test_an_error_of_python_inside_our_code_is_a_bug():
    assert user_message(caught(lambda: existing_checkpoint(3))) is None


@pytest.mark.parametrize(
    'item, message', [('absent.pth', 'checkpoint absent.pth does not exist; check the path.'), (3, None)]
)
def test_what_a_worker_of_a_loader_raises_is_judged_alike(item, message):
    loader = DataLoader([item], num_workers=1, collate_fn=lambda items: existing_checkpoint(items[0]))
    assert user_message(caught(lambda: list(loader))) == message


@pytest.mark.parametrize(
    'arguments, line',
    [
        (['train.py', 'absent.py'], 'config absent.py does not exist'),
        (['train.py', '{toy}', '--device', 'cuda'], 'CUDA was requested'),
        (['train.py', '{toy}', '--cfg-options', 'train_cfg=None'], 'it has no train_cfg'),
        (['train.py', '{toy}', '--work-dir', '{toy}/run'], 'toy_line.py is not a folder); name another place.'),
        (['test.py', '{toy}', 'absent.pth'], 'checkpoint absent.pth does not exist'),
    ],
    ids=['no config', 'no cuda', 'no training', 'no folder', 'no checkpoint'],
)
def test_tools_answer_a_mistake_with_one_line(arguments, line, toy, tmp_path):
    config = str(toy / 'toy_line.py')
    script, *others = [argument.replace('{toy}', config) for argument in arguments]
    command = [sys.executable, CHECKOUT_TOOLS / script, *others]
    output = run(command, toy_folder=toy, cwd=tmp_path, ok=False)
    assert len(output.strip().splitlines()) == 1 and line in output


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """Calls a tool in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(script, *words):
        path = CHECKOUT_TOOLS / script
        # A program finds the modules beside it.
        monkeypatch.syspath_prepend(path.parent)
        spec = importlib.util.spec_from_file_location(f'{path.stem}_tool', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [str(path), *words])
        module.main()

    return call


@pytest.fixture
def ended(tool, capsys):
    """Calls a tool that must fail, and returns its exit code and its last line of errors."""

    def call(script, *words):
        with pytest.raises(SystemExit) as end:
            tool(script, *words)
        lines = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == 2 or len(lines) == 1
        return end.value.code, lines[-1]

    return call


# Nothing else that these name is there: a tool that looked at anything before its place would say so.
@pytest.mark.parametrize(
    'script, words',
    [
        ('analysis_tools/lsc.py', ('absent.pth', '--data', 'absent', '--out', 'file')),
        ('analysis_tools/affinity.py', ('absent.pth', '--data', 'absent', '--out', 'file')),
        ('analysis_tools/masks.py', ('--out', 'file', '--grid', '99')),
        ('analysis_tools/masks.py', ('--figure', '13', '--data', 'absent', '--out', 'file')),
        ('analysis_tools/explore.py', ('absent.pth', '--data', 'absent', '--out', 'file')),
        ('analysis_tools/compare_runs.py', ('absent.pth', '--data', 'absent', '--out', 'file')),
        ('analysis_tools/segment.py', ('absent.pth', '--data', 'absent', '--out', 'file')),
        ('misc/print_config.py', ('absent.py', '--out', 'file')),
        ('test.py', ('absent.py', 'absent.pth', '--out', 'file')),
        ('transfer.py', ('absent.pth', '--task', 'coco-mask-rcnn-c4', '--out', 'file')),
        ('transfer.py', ('absent.pth', '--task', 'coco-mask-rcnn-c4', '--work-dir', 'file')),
        ('demo.py', ('--out', 'file')),
        ('ablate.py', ('mask_type', '--out', 'file')),
        ('model_converters/convert.py', ('absent.pth', '--to', 'timm', '--out', 'file')),
        ('dataset_tools/browse_scenes.py', ('--out', 'file')),
        ('dataset_tools/selective_search.py', ('--data', 'folder:absent', '--out', 'file')),
        ('benchmark/mask_speed.py', ('--out', 'file')),
        ('benchmark/data.py', ('--out', 'file')),
        ('benchmark/step.py', ('--out', 'file')),
        ('benchmark/gpu_acceptance.py', ('--out', 'file')),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_else(script, words, ended, tmp_path):
    (tmp_path / 'file').write_text('as before')
    code, line = ended(script, *words)
    assert code == 1 and line.endswith('file is not a folder); name another place.')
    assert [path.name for path in tmp_path.iterdir()] == ['file'] and (tmp_path / 'file').read_text() == 'as before'


@pytest.mark.parametrize(
    'path, reason',
    [
        ('folder', 'it is a folder'),
        ('file/x', 'file is not a folder'),
        ('file/a/b/x', 'file is not a folder'),
        ('pipe', 'it is not an ordinary file'),
        ('/proc/absent/x', 'No such file or directory'),
        ('x' * 300, 'File name too long'),
    ],
)
def test_checking_a_place_and_writing_there_say_the_same(path, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder').mkdir()
    os.mkfifo('pipe')
    (tmp_path / 'file').write_text('as before')
    lines = [user_message(caught(call)) for call in (lambda: check_writable(path), lambda: write_bytes(path, b'new'))]
    assert lines[0] == lines[1] and lines[0].startswith(f'{path} cannot be written (') and reason in lines[0]
    assert sorted(os.listdir()) == ['file', 'folder', 'pipe'] and (tmp_path / 'file').read_text() == 'as before'


def test_a_place_that_can_be_written_is_left_as_it_is(tmp_path):
    (tmp_path / 'old').write_text('as before')
    check_writable(tmp_path / 'old')
    check_writable(tmp_path / 'new' / 'deep' / 'x')
    assert os.listdir(tmp_path) == ['old'] and (tmp_path / 'old').read_text() == 'as before'


@pytest.mark.parametrize(
    'script, words, line',
    [
        (
            'analysis_tools/lsc.py',
            ('a.pth', '--data', 'b', '--seed', '-1'),
            '--seed: must be a whole number from 0 to 4294967295, got -1',
        ),
        ('analysis_tools/affinity.py', ('a.pth', '--data', 'b', '--size', '0'), '--size: must be a whole number of at'),
        (
            'analysis_tools/explore.py',
            ('a.pth', '--data', 'b', '--seed', '4294967296'),
            '--seed: must be a whole number from 0',
        ),
        ('analysis_tools/segment.py', ('a.py', '--data', 'b', '--workers', '-1'), 'of at least 0, got -1'),
        ('analysis_tools/segment.py', ('a.py', '--data', 'b', '--batch-size', 'x'), 'of at least 1, got x'),
        ('analysis_tools/masks.py', ('--size', '100000'), '--size: must be a whole number from 1 to 1024, got 100000'),
        ('misc/print_config.py', ('a.py', '--save', 'x.txt'), '--save is called --out DIR now'),
        ('test.py', ('a.py', 'a.pth', '--out', 'x.json'), '--out x.json: name a folder; the metrics are written to'),
        ('test.py', ('a.py', 'a.pth', 'b.pth'), 'one network is measured at a time, got a.py a.pth b.pth'),
        ('train.py', ('--method', 'ibot'), 'name a config, or --data and --method'),
        ('train.py', ('a.py', '--epochs', '1'), '--epochs is for training without a config'),
        ('train.py', ('--data', 'x', '--method', 'ibot', '--gpus', '2'), 'without a config, one process is trained'),
        ('train.py', ('--data', 'x', '--method', 'ibot', '--resume'), 'the same command continues the run'),
        ('train.py', ('a.py', '--launcher', 'slurm', '--gpus', '2'), '--launcher slurm requires --partition'),
        ('train.py', ('a.py', '--launcher', 'mpi', '--gpus', '2'), 'use mpirun -np N without --gpus'),
        ('transfer.py', ('a.pth', '--task', 'voc-fcn', '--data-root', 'x'), '--data-root is called --data SPEC now'),
        ('ablate.py', ('mask_type', '--launcher', 'none', '--gpus', '2'), '--gpus 2 requires --launcher pytorch'),
        ('misc/print_config.py', ('a.py', '--cfg-options', 'a=1', 'foo'), '--cfg-options: foo is not KEY=VALUE'),
        ('train.py', ('a.py', '--cfg-options', 'a=x[1,2]'), 'the value of a=x[1,2] cannot be read; check its brackets'),
        ('test.py', ('a.py', 'a.pth', '--cfg-options', 'a=[1,2'), 'the value of a=[1,2 cannot be read; check its'),
        ('transfer.py', ('a.pth', '--task', 'coco-mask-rcnn-c4', '--cfg-options', '=1'), '=1 is not KEY=VALUE'),
    ],
)
def test_an_option_with_a_value_out_of_range_is_named(script, words, line, ended):
    code, told = ended(script, *words)
    assert code == 2 and line in told


def test_a_config_is_printed_and_saved_with_all_overrides(tool, tmp_path, capsys):
    (tmp_path / 'a.py').write_text('a = dict(b=1)\n')
    tool(
        'misc/print_config.py',
        'a.py',
        '--cfg-options',
        'a.b=[1,(2,3)]',
        'a.c=x=y',
        '--cfg-options',
        'a.d=None',
        '--out',
        'deep',
        '--format',
        'json',
    )
    assert json.loads((tmp_path / 'deep' / 'a.json').read_text()) == dict(a=dict(b=[1, [2, 3]], c='x=y', d=None))
    assert "c='x=y'" in capsys.readouterr().out


@pytest.mark.parametrize(
    'name, content',
    [('a.jpg', 'x = 1'), ('a.yml', 'a: [1'), ('a.json', '{"a": '), ('a.py', 'x = 1 / 0'), ('a.py', 'x = =')],
)
def test_a_file_that_is_no_config_is_refused_in_one_line(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    line = user_message(caught(lambda: load_config(str(tmp_path / name))))
    assert line.startswith(f'config {tmp_path / name} cannot be read: ') and '\n' not in line


@pytest.mark.parametrize('content', [b'eeeeeeee', b'', b'\x80', b'PK\x03\x04', bytes(range(256)) * 8])
def test_a_damaged_checkpoint_is_refused_in_one_line_that_says_what_to_do(content, tmp_path):
    (tmp_path / 'a.pth').write_bytes(content)
    for read in read_checkpoint, read_weights:
        error = caught(lambda read=read: read(str(tmp_path / 'a.pth')))
        line = user_message(error)
        assert isinstance(error, DamagedCheckpoint) and 'name another' in line and '\n' not in line


def test_a_line_has_no_breaks_and_an_end():
    line = one_line('a\n b\x00' + 'x' * 1000 + ' the remedy')
    assert line.startswith('a b x') and line.endswith('the remedy') and len(line) <= MAX_LENGTH and line.isprintable()


@pytest.mark.parametrize(
    'make, word',
    [
        (os.mkfifo, 'fifo'),
        (os.mkdir, 'folder'),
        (lambda path: os.symlink('/dev/zero', path), 'device'),
        (lambda path: os.symlink('absent', path), 'cannot be opened'),
    ],
)
def test_what_is_not_an_ordinary_file_is_refused_unopened(make, word, tmp_path):
    make(tmp_path / 'x')
    with pytest.raises(UserError, match=f'image .*{word}'):
        check_regular(tmp_path / 'x', 'image')
