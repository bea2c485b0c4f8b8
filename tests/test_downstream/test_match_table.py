"""The table of a load check says of every tensor where it comes from; the log says the same in fewer lines."""

import logging
import re

import pytest
import torch

from mmdecouple.downstream import LoadCheckHook, PretrainedBackbone
from mmdecouple.weights.matching import match, problems
from mmdecouple.weights.pretrained import read_pretrained
from tests.test_downstream.models import build, c4, fpn, vit
from tests.test_downstream.test_loading import FakeRunner, prefixed, resnet, vit_state


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('checkpoints')
    states = dict(
        small=dict(backbone_=resnet(18, 1), teacher_backbone_=resnet(18, 2)), maskalign=dict(backbone_=vit_state(1))
    )
    for name, networks in states.items():
        torch.save(dict(state_dict=prefixed(**networks)), folder / f'{name}.pth')
    return folder


def rows_of(text):
    return [
        tuple(cell.strip() for cell in line.strip().strip('│').split('│'))
        for line in text.splitlines()
        if line.strip().startswith('│')
    ]


def checked(folder, name, cfg, tmp_path, caplog):
    """The model, the rows of the whole table and those of the log."""
    model = build(cfg, str(folder / f'{name}.pth'))
    with caplog.at_level(logging.INFO):
        LoadCheckHook().before_train(FakeRunner(model, tmp_path))
    text = (tmp_path / 'match_table.txt').read_text()
    return model, text, rows_of(text), rows_of(caplog.text)


def shape(value):
    return ' x '.join(str(side) for side in value.shape) if value.ndim else 'scalar'


@pytest.mark.parametrize('name, cfg', [('small', c4(18)), ('small', fpn(18)), ('maskalign', vit())])
def test_the_table_has_a_row_for_every_tensor_of_either_side(files, tmp_path, caplog, name, cfg):
    model, text, rows, _ = checked(files, name, cfg, tmp_path, caplog)
    expected = set()
    for target, value in model.state_dict().items():
        if target.startswith(('backbone.', 'roi_head.shared_head.')):
            plain = target.removeprefix('roi_head.shared_head.').removeprefix('backbone.')
            new = target.startswith('roi_head.shared_head.norm.')
            status = 'new' if new else 'resized' if plain == 'pos_embed' else 'loaded'
            expected.add(('-' if new else f'backbone.{plain}', target, shape(value), status))
    if name == 'maskalign':
        expected |= {
            (f'backbone.{key}', '-', size, 'unused')
            for key, size in (('mask_token', '1 x 32'), ('ln1.weight', '32'), ('ln1.bias', '32'))
        }
    assert set(rows) == expected and len(rows) == len(expected)
    network = 'ResNet-18, student' if name == 'small' else 'ViT of 4 blocks, width 32, patch 8, only'
    heading = re.sub(r'\s+', ' ', text[: text.index('┏')])
    assert heading.strip().endswith(f'{name}.pth: {network} network (names: mmdecouple)')


@pytest.mark.parametrize('name, cfg', [('small', c4(18)), ('maskalign', vit())])
def test_the_log_counts_every_row_of_the_table_once_under_names_that_begin_alike(files, tmp_path, caplog, name, cfg):
    _, _, rows, lines = checked(files, name, cfg, tmp_path, caplog)
    left = set(rows)
    for source, target, what, status in lines:
        count = re.fullmatch(r'(\d+) tensors', what)
        if count is None:
            assert (source, target, what, status) in left
            left.remove((source, target, what, status))
            continue
        stems = [word.removesuffix('*') for word in (source, target)]
        alike = {row for row in left if row[3] == status and all(map(str.startswith, row, stems))}
        assert len(alike) == int(count[1]) > 1 and all(word == '-' or word.endswith('*') for word in (source, target))
        left -= alike
    # A block, a stage or a norm is a line.
    assert not left and len(lines) < len(rows) / 4


@pytest.mark.parametrize('count, more', [(1, ''), (4, ''), (5, ' and 1 more'), (7, ' and 3 more')])
def test_the_first_four_tensors_that_do_not_fit_are_named_and_the_others_counted(files, tmp_path, count, more):
    content = torch.load(files / 'small.pth')
    names = [
        f'layer1.{block}.{kind}'
        for block in (0, 1)
        for kind in ('conv1.weight', 'bn1.weight', 'bn1.bias', 'bn1.running_mean', 'bn1.running_var', 'conv2.weight')
    ]
    lost = names[1 : 1 + count]
    for name in lost:
        content['state_dict'].pop(f'backbone.{name}')
    torch.save(content, tmp_path / 'cut.pth')
    listed = ', '.join(f'backbone.{name}' for name in lost[:4])
    with pytest.raises(ValueError, match=re.escape(f'of the model: {count} missing ({listed}{more}) (config key')):
        PretrainedBackbone(str(tmp_path / 'cut.pth')).check(build(fpn(18)))


@pytest.mark.parametrize('key', ['layer1.0.conv1.weight', 'bn1.bias'])
@pytest.mark.parametrize('larger', [False, True])
def test_a_tensor_of_another_shape_is_no_match_whether_larger_or_smaller(files, tmp_path, key, larger):
    content = torch.load(files / 'small.pth')
    value = content['state_dict'][f'backbone.{key}']
    content['state_dict'][f'backbone.{key}'] = torch.cat([value, value[:1]]) if larger else value[1:]
    torch.save(content, tmp_path / 'other.pth')
    rows = match(build(fpn(18)), read_pretrained(str(tmp_path / 'other.pth')))
    wrong = [row for row in rows if not row.accepted]
    assert [(row.target, row.shape, row.status, row.value) for row in wrong] == [
        (f'backbone.{key}', tuple(value.shape), 'another shape', None)
    ]
    assert problems(rows) == f'1 another shape (backbone.{key})'


def test_counters_that_an_old_file_lacks_are_new_and_the_run_may_start(files, tmp_path, caplog):
    content = torch.load(files / 'small.pth')
    old = {key: value for key, value in content['state_dict'].items() if not key.endswith('num_batches_tracked')}
    torch.save(dict(state_dict=old), tmp_path / 'old.pth')
    _, _, rows, _ = checked(tmp_path, 'old', fpn(18), tmp_path, caplog)
    new = {row for row in rows if row[3] == 'new'}
    assert len(new) == 20
    assert all(row[:3] == ('-', row[1], 'scalar') and row[1].endswith('num_batches_tracked') for row in new)
