"""COCO objects: masks and boxes as the file says, and clear words when it cannot be used."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmdecouple.registry import DATASETS

SQUARE = np.zeros((20, 30), np.uint8)
SQUARE[4:10, 6:16] = 1


def flat_runs(mask):
    """Uncompressed COCO run lengths, written out: column-major, background first."""
    runs, value = [0], 0
    for pixel in mask.T.reshape(-1):
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@pytest.fixture
def tiny(tmp_path):
    """A data set of two 20 x 30 images; returns (root, content, write)."""
    (tmp_path / 'images').mkdir()
    for name in ('b.png', 'a.png'):
        cv2.imwrite(str(tmp_path / 'images' / name), np.full((20, 30, 3), (30, 20, 10), np.uint8))
    packed = coco_mask.encode(np.asfortranarray(SQUARE))
    shapes = [
        [[6, 4, 16, 4, 16, 10, 6, 10]],
        dict(size=[20, 30], counts=flat_runs(SQUARE)),
        dict(size=[20, 30], counts=packed['counts'].decode()),
    ]
    common = dict(image_id=7, bbox=[6, 4, 10, 6], area=60, iscrowd=0)
    content = dict(
        images=[dict(id=9, file_name='b.png', height=20, width=30), dict(id=7, file_name='a.png', height=20, width=30)],
        annotations=[
            dict(common, id=10 + k, category_id=(5, 2, 5)[k], segmentation=shape) for k, shape in enumerate(shapes)
        ]
        + [
            dict(common, id=20, category_id=2, iscrowd=1, segmentation=shapes[1]),
            dict(common, id=21, category_id=2, bbox=[6, 4, 0, 6], segmentation=shapes[1]),
        ],
        categories=[dict(id=5, name='five'), dict(id=2, name='two')],
    )

    def build(**changes):
        (tmp_path / 'objects.json').write_text(json.dumps({**content, **changes}))
        return DATASETS.build(
            dict(type='CocoObjects', ann_file=str(tmp_path / 'objects.json'), img_prefix=str(tmp_path / 'images'))
        )

    return tmp_path, content, build


def test_polygons_and_both_kinds_of_runs_give_the_same_mask(tiny):
    data = tiny[2]()
    item = data.objects(0)
    assert data.classes == ('two', 'five') and data.name == 'objects'
    assert item.image_id == 7 and item.ids.tolist() == [10, 11, 12]
    assert item.labels.tolist() == [1, 0, 1]
    assert all(np.array_equal(mask, SQUARE.astype(bool)) for mask in item.masks)
    assert item.boxes.tolist() == [[6, 4, 16, 10]] * 3
    assert item.image[0, 0].tolist() == [10, 20, 30]


def test_crowds_and_empty_boxes_are_dropped_and_images_without_objects_kept(tiny):
    data = tiny[2]()
    assert len(data) == 2
    empty = data.objects(1)
    assert (empty.image_id, empty.boxes.shape, empty.masks.shape) == (9, (0, 4), (0, 20, 30))
    assert not data.info(0)['iscrowd'].any() and 20 not in data.info(0)['ids']


def test_what_cannot_be_used_is_one_line(tiny):
    root, content, build = tiny
    with pytest.raises(ValueError, match="objects.json' lists no image"):
        build(images=[])
    with pytest.raises(ValueError, match='is not a COCO annotation file: annotations expected a list, got null'):
        build(annotations=None)
    with pytest.raises(ValueError, match=r'annotations\[0\] \(id 10\) .* refers to an image or category'):
        build(categories=content['categories'][1:])
    bare = {key: value for key, value in content['annotations'][0].items() if key != 'segmentation'}
    with pytest.raises(ValueError, match=r'annotations\[0\] \(id 10\) of .* has no segmentation'):
        build(annotations=[bare])
    with pytest.raises(FileNotFoundError, match="1 of 2 images .* the first is 'b.png'"):
        (root / 'images' / 'b.png').rename(root / 'b.png')
        build()
    with pytest.raises(FileNotFoundError, match="annotation file 'nowhere.json' cannot be opened"):
        DATASETS.build(dict(type='CocoObjects', ann_file='nowhere.json', img_prefix=str(root)))
    with pytest.raises(FileNotFoundError, match='image folder .*nowhere does not exist'):
        DATASETS.build(dict(type='CocoObjects', ann_file=str(root / 'objects.json'), img_prefix=str(root / 'nowhere')))


def test_an_image_of_another_size_than_annotated_is_refused(tiny):
    root, _, build = tiny
    cv2.imwrite(str(root / 'images' / 'a.png'), np.zeros((10, 30, 3), np.uint8))
    with pytest.raises(ValueError, match='a.png is 10 x 30 pixels, but .* lists 20 x 30'):
        build().objects(0)
    (root / 'images' / 'a.png').write_bytes(b'')
    with pytest.raises(ValueError, match="a.png' is not a readable image .the file is empty."):
        build().objects(0)


def test_real_masks_agree_with_the_panoptic_annotation(coco128):
    """The semantic images come from COCO's panoptic set, drawn apart from the instance masks."""
    ann_file = coco128 / 'annotations' / 'instances_val2017.json'
    data = DATASETS.build(dict(type='CocoObjects', ann_file=str(ann_file), img_prefix=str(coco128 / 'val2017')))
    categories = sorted(json.loads(ann_file.read_text())['categories'], key=lambda c: c['id'])
    assert [category['name'] for category in categories] == list(data.classes)
    agree = total = 0
    for index in range(len(data)):
        item = data.objects(index)
        info = data.info(index)
        path = coco128 / 'semantic' / 'val2017' / f'{item.image_id:012d}.png'
        semantic = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for mask, label, box in zip(item.masks, item.labels, item.boxes):
            agree += np.count_nonzero(semantic[mask] == categories[label]['id'])
            total += np.count_nonzero(mask)
            ys, xs = np.nonzero(mask)
            tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert np.abs(np.array(tight) - box).max() <= 2
        assert np.array_equal(info['boxes'], item.boxes)
        assert np.abs(info['areas'] - item.masks.sum((1, 2))).max(initial=0) <= 1
    assert agree / total > 0.9
