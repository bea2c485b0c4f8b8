"""A config is a file that can be of any shape, and a program that can fail in any way: it works, or gives one line."""

import os

import pytest

from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import MissingFile, UserError


@pytest.mark.parametrize(
    'name, content',
    [
        ('crlf.py', b'a = dict(\r\n    b=1)\r\n'),
        ('two.dots.in.py', b'a = dict(b=1)'),
        ('a b.c \u00fc/cfg \u00e9.py', b'a = dict(b=1)'),
        ('utf8.py', '# \u00fc\na = dict(b=1)'.encode()),
        ('prints.py', b'print("hello")\na = dict(b=1)'),
    ],
)
def test_a_config_of_any_shape_is_read(name, content, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert load_config(str(path)).a == dict(b=1)


@pytest.mark.parametrize(
    'content, wanted',
    [
        (b'\xef\xbb\xbfa = 1', 'byte order mark; save it in UTF-8 without one'),
        (b'# \xe9\na = 1', 'save it in UTF-8'),
        (b'import sys\nsys.exit(3)', 'ends the program'),
        (b'raise SystemExit', 'ends the program'),
        (b'a = 1\nb = = 2', 'line 2'),
        (b'_base_ = "./x.py"', 'check whether its _base_ refers back to itself'),
        (b'_base_ = "./round.py"', 'check whether its _base_ refers back to itself'),
        (b'_base_ = "./broken.py"', 'broken.py) cannot be read: ZeroDivisionError'),
        (b'_base_ = "./absent.py"', 'absent.py'),
        (b'_base_ = 5', 'cannot be read'),
        (b'_base_ = "nosuchscope::a.py"', 'cannot be read'),
        (b'a = 1\x00', 'null bytes'),
        (b'custom_imports = dict(imports=["nosuchmodule"])', 'nosuchmodule'),
        (b'custom_imports = 5', 'cannot be read'),
        (b'def f():\n    return f()\nf()', 'RecursionError'),
    ],
)
def test_a_config_that_cannot_be_read_gives_one_line(content, wanted, tmp_path):
    (tmp_path / 'x.py').write_bytes(content)
    (tmp_path / 'round.py').write_text('_base_ = "./x.py"')
    (tmp_path / 'broken.py').write_text('1 / 0')
    with pytest.raises(UserError) as caught:
        load_config(str(tmp_path / 'x.py'))
    assert wanted in str(caught.value) and str(tmp_path / 'x.py') in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'make, wanted',
    [(os.mkfifo, 'fifo'), (os.mkdir, 'a folder'), (lambda path: os.symlink('absent', path), 'does not exist')],
)
def test_what_is_no_file_is_no_config(make, wanted, tmp_path):
    make(tmp_path / 'x.py')
    with pytest.raises(UserError, match=wanted):
        load_config(str(tmp_path / 'x.py'))


@pytest.mark.parametrize(
    'base',
    [
        'mmdecouple::densecl/densecl_r50_8xb32-200e_coco.py',
        'mmdecouple::ibot/ibot_vit-s16_8x64-800e_coco.py',
        'mmdet::_base_/datasets/coco_detection.py',
    ],
)
def test_without_workers_a_loader_has_none_that_persist(base, tmp_path):
    pytest.importorskip(base.partition('::')[0])
    (tmp_path / 'x.py').write_text(f'_base_ = {base!r}')
    options = {f'{split}_dataloader.prefetch_factor': 2 for split in ('train', 'test')}
    workers = {f'{split}_dataloader.num_workers': 0 for split in ('train', 'test')}
    config = load_config(str(tmp_path / 'x.py'), {**options, **workers})
    for loader in (config.train_dataloader, config.test_dataloader):
        assert loader.num_workers == 0 and not {'persistent_workers', 'prefetch_factor'} & set(loader)
    assert load_config(str(tmp_path / 'x.py'), options).train_dataloader.persistent_workers


def test_a_config_that_is_not_there_is_answered_with_close_names(tmp_path):
    (tmp_path / 'densecl-control_resnet-demo_scenes.py').write_text('x = 1')
    with pytest.raises(MissingFile, match=r'densecl-same.* does not exist; close names: densecl-control_resnet-demo'):
        load_config(str(tmp_path / 'densecl-same_resnet-demo_scenes.py'))
    with pytest.raises(MissingFile, match=r'x\.py does not exist; give a file, or mmdecouple::folder/file\.py'):
        load_config(str(tmp_path / 'absent' / 'x.py'))
