"""Data named by one word."""

import pytest

from mmdecouple.utils.data_spec import SPECS, DataSpec, ImageFiles, image_files, read_spec
from mmdecouple.utils.errors import UserError


@pytest.mark.parametrize(
    'text, data',
    [
        ('scenes', DataSpec('scenes', '')),
        ('scenes:a.py', DataSpec('scenes', 'a.py')),
        ('coco', DataSpec('coco', 'data/coco')),
        ('coco:a', DataSpec('coco', 'a')),
        ('coco:a:b:c', DataSpec('coco', 'a', ('b', 'c'))),
        ('coco128', DataSpec('coco128', 'data/coco128')),
        ('voc:C:/x', DataSpec('voc', 'C:/x')),
        ('folder:a:b', DataSpec('folder', 'a:b')),
        ('list:a.txt', DataSpec('list', 'a.txt')),
        ('list:a.txt:b', DataSpec('list', 'a.txt', folder='b')),
        ('pack:a', DataSpec('pack', 'a')),
    ],
)
def test_a_specification_is_read_and_written(text, data):
    assert read_spec(text) == data
    assert read_spec(str(data)) == data


@pytest.mark.parametrize(
    'text',
    [
        'coco:',
        'coco:a:b',
        'coco::a:b',
        'coco:a:b:',
        'scenes:',
        'voc:',
        'folder',
        'list',
        'list:',
        'list:a:b:c',
        'pack:',
    ],
)
def test_a_specification_of_another_form_is_refused_with_its_form(text):
    with pytest.raises(UserError, match='does not have the form') as error:
        read_spec(text)
    assert SPECS[text.partition(':')[0]] in str(error.value)


def test_a_path_that_exists_is_a_folder_or_file_of_images(tmp_path):
    (tmp_path / 'with:colon').mkdir()
    (tmp_path / 'with:colon' / 'list:1.txt').touch()
    for path in (tmp_path, tmp_path / 'with:colon'):
        assert read_spec(str(path)) == DataSpec('folder', str(path))
    listed = tmp_path / 'with:colon' / 'list:1.txt'
    assert read_spec(f'list:{listed}') == DataSpec('list', str(listed))
    for text in ('imagenet', str(tmp_path / 'absent'), 'x' * 5000):
        with pytest.raises(UserError, match='is neither a file or folder nor one of'):
            read_spec(text)


def test_a_kind_that_cannot_be_used_is_refused_with_those_that_can():
    with pytest.raises(UserError, match=r'voc cannot be used here; name one of coco:ROOT\[:TRAIN:VAL\], pack:DIR \('):
        read_spec('voc:a', ('coco', 'pack'))


@pytest.mark.parametrize(
    'text, split, files',
    [
        ('coco:a', 'train', ImageFiles('a/train2017', 'a/annotations/instances_train2017.json', 'train2017')),
        ('coco:a:b:c', 'val', ImageFiles('a/c', 'a/annotations/instances_c.json', 'c')),
        ('folder:a/b', 'val', ImageFiles('a/b', None, 'b')),
        ('list:a/b.txt', 'train', ImageFiles('a', 'a/b.txt', 'b')),
        ('list:a/b.txt:c', 'train', ImageFiles('c', 'a/b.txt', 'b')),
    ],
)
def test_image_files_are_found_in_the_standard_layouts(text, split, files):
    assert image_files(read_spec(text), split) == files
