"""Lists of few images are the same everywhere, nested, and whole COCO files."""

import json
import random

import pytest
from pycocotools.coco import COCO

from mmdecouple.commands import subset
from mmdecouple.datasets.coco_subset import read_annotations, take_fraction
from mmdecouple.utils.errors import UserError


def write(folder, count=200):
    (folder / 'annotations').mkdir()
    path = folder / 'annotations' / 'instances_train2017.json'
    path.write_text(
        json.dumps(
            dict(
                info=dict(year=2017),
                categories=[dict(id=7, name='cat')],
                images=[dict(id=10 * index, file_name=f'{index}.jpg', height=4, width=6) for index in range(count)],
                annotations=[
                    dict(id=index, image_id=10 * (index % count), category_id=7, bbox=[0, 0, 2, 2], area=4, iscrowd=0)
                    for index in range(1, 3 * count)
                ],
            )
        )
    )
    return path


def ids(content):
    return {record['id'] for record in content['images']}


def test_shares_are_nested_of_the_right_size_and_independent_of_the_order_of_the_file(tmp_path):
    content = read_annotations(write(tmp_path))
    few, more = take_fraction(content, 1, 0), take_fraction(content, 10, 0)
    assert len(ids(few)) == 2 and len(ids(more)) == 20 and ids(few) < ids(more)
    assert {record['image_id'] for record in more['annotations']} == ids(more)
    assert len(more['annotations']) == sum(record['image_id'] in ids(more) for record in content['annotations'])
    assert more['categories'] == content['categories'] and more['info'] == content['info']
    random.Random(0).shuffle(content['images'])
    assert ids(take_fraction(content, 10, 0)) == ids(more) != ids(take_fraction(content, 10, 1))
    assert take_fraction(content, 100, 5) == content


@pytest.mark.parametrize('form', ['coco:{root}', 'list:{root}/annotations/instances_train2017.json'])
def test_the_command_writes_files_that_pycocotools_reads(form, tmp_path, capsys):
    write(tmp_path)
    subset.main(['--data', form.format(root=tmp_path), '--percent', '5', '--seeds', '0', '3'])
    for seed in (0, 3):
        coco = COCO(str(tmp_path / 'annotations' / f'instances_train2017_5pct_seed{seed}.json'))
        assert len(coco.getImgIds()) == 10 and len(coco.getAnnIds()) > 20
    assert '10 images' in capsys.readouterr().out


@pytest.mark.parametrize(
    'text',
    [
        '[]',
        '{',
        '{"images": [{"id": "a"}], "annotations": []}',
        '{"images": [{}]}',
        '{"images": [{"id": 1}, {"id": 1}], "annotations": []}',
        '[' * 100000,
    ],
)
def test_a_file_that_is_no_coco_file_is_refused_in_one_line(tmp_path, text):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(UserError, match='is not a COCO annotation file') as caught:
        read_annotations(tmp_path / 'a.json')
    assert '\n' not in str(caught.value)
