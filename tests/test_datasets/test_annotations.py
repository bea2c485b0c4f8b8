"""Annotation files of strangers: used as they say, or refused by file, record and field before anything is measured."""

import copy
import json

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mmdecouple.datasets import CocoObjects
from mmdecouple.datasets.annotations import ImageFile, read_coco
from mmdecouple.datasets.listing import list_images
from mmdecouple.datasets.segmentations import count_pixels
from mmdecouple.evaluation.probes.dataset import ProbeDataset
from mmdecouple.utils.errors import MAX_LENGTH, PREFIX, UserError

HEIGHT, WIDTH = 20, 30
SQUARE = [[6, 4, 16, 4, 16, 10, 6, 10]]


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'images' / 'sub').mkdir(parents=True)
    for name in ('1.png', '2.png', 'sub/3.png'):
        cv2.imwrite(str(tmp_path / 'images' / name), np.full((HEIGHT, WIDTH, 3), 9, np.uint8))
    return tmp_path


def content():
    return dict(
        images=[dict(id=i, file_name=f'{i}.png', height=HEIGHT, width=WIDTH) for i in (1, 2)],
        annotations=[
            dict(
                id=10 + k,
                image_id=1 + k % 2,
                category_id=1,
                bbox=[6, 4, 10, 6],
                area=60.0,
                iscrowd=0,
                segmentation=SQUARE,
            )
            for k in range(4)
        ],
        categories=[dict(id=1, name='square')],
    )


def opened(root, data):
    text = data if isinstance(data, bytes) else (data if isinstance(data, str) else json.dumps(data)).encode()
    (root / 'objects.json').write_bytes(text)
    return CocoObjects(str(root / 'objects.json'), str(root / 'images'))


def test_a_change_of_the_annotations_is_a_change_of_the_files_of_an_image(root):
    data = opened(root, content())
    assert data.files(1) == [str(root / 'objects.json'), str(root / 'images' / '2.png')]


def refusal(root, data):
    with pytest.raises(UserError) as caught:
        opened(root, data)
    message = str(caught.value)
    assert '\n' not in message and 'objects.json' in message
    assert len(message) + len(PREFIX) <= MAX_LENGTH
    return message


def changed(kind='annotations', place=2, **values):
    data = content()
    data[kind][place].update(values)
    return data


TEXT = copy.deepcopy(content())
TEXT['images'] = {'1': TEXT['images'][0]}
DROPPED = {key: value for key, value in content()['annotations'][0].items() if key != 'bbox'}


@pytest.mark.parametrize(
    'data, words',
    [
        (changed(id='12'), ['annotations[2] (id ', 'id: expected', 'whole number', 'got text', 'without quotes']),
        (changed(id=True), ['annotations[2]', 'true/false']),
        (changed(id=2**63), ['annotations[2]', str(2**63)]),
        (changed(id=10), ['annotations[0] and annotations[2]', 'same id 10', 'renumbered']),
        (changed('images', 1, id=1), ['images[0] and images[1]', 'same id 1']),
        (changed('images', 1, file_name='1.png'), ['images[0] and images[1]', 'same file_name']),
        (changed('images', 1, file_name=7), ['images[1] (id 2)', 'file_name', 'expected text']),
        (changed('images', 1, height=0), ['images[1] (id 2)', 'height']),
        (changed('images', 1, width=None), ['images[1] (id 2)', 'width', 'null']),
        (dict(content(), categories=content()['categories'] * 2), ['categories[0] and categories[1]']),
        (changed(bbox=['6', 4, 10, 6]), ['annotations[2] (id 12)', 'bbox[0]', 'got text']),
        (changed(bbox=[6, 4, 10]), ['annotations[2] (id 12)', 'bbox', 'length 4']),
        (changed(bbox=[6, 4, -1, 6]), ['annotations[2] (id 12)', 'bbox[2]', '>= 0']),
        (changed(bbox=[6, 4, float('nan'), 6]), ['annotations[2] (id 12)', 'bbox[2]', 'NaN']),
        (changed(bbox=[6, float('-inf'), 9, 6]), ['annotations[2] (id 12)', 'bbox[1]', '-Infinity']),
        (json.dumps(changed(area=-7.5)).replace('-7.5', '1e400'), ['annotations[2] (id 12)', 'area', 'out of range']),
        (changed(area=None), ['annotations[2] (id 12)', 'area', 'null']),
        (changed(iscrowd=2), ['annotations[2] (id 12)', 'iscrowd', '2']),
        (changed(image_id=5), ['annotations[2] (id 12)', 'refers to an image']),
        (dict(content(), annotations=[DROPPED]), ['annotations[0] (id 10)', 'has no bbox']),
        (dict(content(), annotations=[3]), ['annotations[0]', 'expected an object']),
        (TEXT, ['images expected a list, got an object']),
        ([content()], ['expected an object, got a list']),
        (changed(segmentation=None), ['annotations[2] (id 12)', 'has no segmentation']),
        (changed(segmentation=[]), ['annotations[2] (id 12)', 'has no segmentation']),
        (changed(segmentation=[[]]), ['annotations[2] (id 12)', 'fewer than three points']),
        (changed(segmentation=[*SQUARE, []]), ['annotations[2] (id 12)', 'fewer than three points', '[1]']),
        (changed(segmentation=[[1, 2, 3, 4]]), ['annotations[2] (id 12)', 'fewer than three points']),
        (changed(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), ['annotations[2] (id 12)', 'odd']),
        (changed(segmentation=SQUARE[0]), ['annotations[2] (id 12)', 'flat list']),
        (changed(segmentation=[[1, 2, 3, 4, 5, '6']]), ['annotations[2] (id 12)', 'got str']),
        (changed(segmentation=[[1, 2, 3, 4, 5, 1e9]]), ['annotations[2] (id 12)', 'far outside']),
        (changed(segmentation=dict(size=[10, 30], counts=[300])), ['annotations[2] (id 12)', '10 x 30', '20 x 30']),
        (changed(segmentation=dict(size=[20, 30], counts=[300])), ['annotations[2] (id 12)', '300', '600']),
        (changed(segmentation=dict(size=[20, 30], counts=[-1, 601])), ['annotations[2] (id 12)']),
        (changed(segmentation=dict(size=[20, 30], counts='0')), ['annotations[2] (id 12)', 'do not match']),
        (
            json.dumps(changed(segmentation=dict(size=[20, 30], counts='@'))).replace('@', 'é').encode('latin-1'),
            ['annotations[2] (id 12)', 'codec'],
        ),
        (changed(segmentation=dict(size=[20, 30], counts='é')), ['annotations[2] (id 12)', 'do not match']),
        (changed(segmentation=dict(size=[20, 30], counts='')), ['annotations[2] (id 12)', 'do not match']),
        (changed(segmentation=dict(size=[20, 30], counts='o' * 500)), ['annotations[2] (id 12)', 'do not match']),
        ('', ['not valid JSON']),
        (json.dumps(content())[:-40], ['not valid JSON', 'truncated']),
        ('{"info": ' + '[' * 10**6, ['nested too deeply']),
        (json.dumps(content()).encode('utf-16'), ['not UTF-8', 'byte 0']),
        (json.dumps(content()).replace('square', 'qué').encode('latin-1'), ['not UTF-8', 'byte']),
        (json.dumps(content())[:-1] + ', "annotations": []}', ['two lists', 'annotations']),
    ],
)
def test_a_record_that_cannot_be_used_is_named_before_anything_is_measured(root, data, words):
    message = refusal(root, data)
    for word in words:
        assert word in message, message


def test_a_byte_order_mark_crowds_and_unknown_fields_do_no_harm(root):
    data = content()
    del data['annotations'][0]['iscrowd']
    data['annotations'][1].update(iscrowd=True, segmentation='anything: a crowd is left out')
    data['annotations'][3].update(score=0.5, keypoints=[1, 2, 2])
    found = opened(root, b'\xef\xbb\xbf' + json.dumps(data).encode())
    assert [found.info(i)['ids'].tolist() for i in range(2)] == [[10, 12], [13]]
    assert found.notes == ()


def test_boxes_are_clipped_to_their_image_and_what_is_left_out_is_counted(root):
    data = content()
    boxes = [[-5, 4, 10, 6], [40, 4, 10, 6], [6, 4, 0, 6], [25, 15, 1e300, 100]]
    for record, box in zip(data['annotations'], boxes):
        record.update(bbox=box, image_id=1, area=500.0)
    data['annotations'][1]['segmentation'] = data['annotations'][2]['segmentation'] = []
    found = opened(root, data)
    info = found.info(0)
    assert info['boxes'].tolist() == [[0, 4, 5, 10], [25, 15, 30, 20]]
    assert info['ids'].tolist() == [10, 13] and info['areas'].tolist() == [30, 25]
    assert np.array_equal(found.objects(0).boxes, info['boxes']) and found.objects(0).masks.shape == (2, HEIGHT, WIDTH)
    assert found.notes == (
        'objects: 2 of 4 boxes lie outside their image or have no area and are dropped; 2 were clipped to it.',
    )
    probe = ProbeDataset(found, measures=[dict(type='OKNN')], size=96)
    assert probe.metainfo['notes'][0] == found.notes[0]


def test_names_written_on_windows_are_found(root):
    data = content()
    data['images'][1]['file_name'] = 'sub\\3.png'
    assert opened(root, data).objects(1).image_id == 2
    assert list_images('', str(root / 'objects.json'), str(root / 'images'))[1].endswith('images/sub/3.png')


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=3), st.data())
def test_pixels_of_compressed_run_lengths_are_those_that_pycocotools_draws(empties, data):
    texts, pixels = [''] * len(empties), [-1] * len(empties)
    for _ in range(data.draw(st.integers(1, 4))):
        height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
        bits = np.random.default_rng(data.draw(st.integers(0, 99))).random((height, width)) < data.draw(st.floats(0, 1))
        texts.append(coco_mask.encode(np.asfortranarray(bits.astype(np.uint8)))['counts'].decode())
        pixels.append(height * width)
    assert count_pixels(texts).tolist() == pixels


MUTANTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.floats(-50, 50) | st.integers(-9, 99) | st.lists(st.integers(-9, 99), max_size=9), max_size=9),
    st.fixed_dictionaries(
        dict(
            size=st.lists(st.integers(0, 40), max_size=3),
            counts=st.one_of(st.text(max_size=9), st.lists(st.integers(-9, 999))),
        )
    ),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(['images', 'annotations', 'categories']),
    place=st.integers(0, 3),
    key=st.integers(0, 9),
    value=MUTANTS,
)
def test_a_changed_value_is_measured_or_refused_in_one_line(root, kind, place, key, value):
    data = content()
    record = data[kind][place % len(data[kind])]
    record[list(record)[key % len(record)]] = value
    try:
        found = opened(root, data)
        for index in range(len(found)):
            image = found.objects(index)
            assert (image.boxes >= 0).all() and (image.boxes[:, 2:] > image.boxes[:, :2]).all()
            assert (image.boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
    except UserError as error:
        assert '\n' not in str(error) and len(str(error)) < MAX_LENGTH


def test_training_needs_only_the_file_names(root):
    (root / 'names.json').write_text(json.dumps(dict(images=[dict(file_name='1.png')])))
    assert [image.file_name for image in read_coco(str(root / 'names.json'), ImageFile).images] == ['1.png']


@pytest.mark.parametrize(
    'data, words',
    [
        ('1.png\né.png\n'.encode('latin-1'), ['not UTF-8', 'byte 6', '0xe9']),
        ('1.png\n'.encode('utf-16'), ['not UTF-8', 'byte 0']),
        (b'', ['is empty']),
        (b'[1, 2]', ['not a COCO annotation file']),
    ],
)
def test_a_list_that_cannot_be_read_is_one_line(root, data, words):
    (root / 'list.json').write_bytes(data)
    with pytest.raises(UserError) as caught:
        list_images('', str(root / 'list.json'), str(root / 'images'))
    assert all(word in str(caught.value) for word in ['list.json', *words]), caught.value


def test_a_list_is_told_by_its_content_not_by_its_name(root):
    (root / 'list.json').write_bytes(b'\xef\xbb\xbf1.png\r\n\r\n 2.png \r\n')
    (root / 'objects.txt').write_text(json.dumps(content()))
    paths = [str(root / 'images' / name) for name in ('1.png', '2.png')]
    assert list(list_images('', str(root / 'list.json'), str(root / 'images'))) == paths
    assert list(list_images('', str(root / 'objects.txt'), str(root / 'images'))) == paths
