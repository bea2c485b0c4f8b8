"""Objects that are cut out of label maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmdecouple.evaluation import LabelObjects, ProbeDataset
from mmdecouple.evaluation.label_objects import find_components
from mmdecouple.evaluation.probes.suites import probe_config
from mmdecouple.evaluation.segmentation import SegmentationImages
from mmdecouple.evaluation.segmentation.label_classes import CAMVID_CLASSES, CITYSCAPES, THINGS, VOC_CLASSES
from mmdecouple.utils.data_spec import COMPONENTS
from mmdecouple.utils.errors import UserError

from .test_segmentation_layouts import voc, write  # noqa: F401 (a fixture)

ROAD, SIGN, CAR, VOID = 3, 6, 8, 11


@pytest.fixture
def camvid(tmp_path):
    rng = np.random.default_rng(0)
    for part in ('train', 'test'):
        for i in range(3):
            labels = np.full((48, 64), ROAD)
            labels[4:16, 4 + i : 24] = CAR
            labels[16:26, 24:40] = CAR  # touches the first one at a corner
            labels[30:44, 40:60] = CAR
            labels[30:44, 10:30] = SIGN
            labels[0:2, 0:3] = SIGN
            labels[:, 63] = VOID
            write(tmp_path / 'annotations' / part / f'{i}.png', labels)
            write(tmp_path / 'images' / part / f'{i}.png', rng.integers(0, 255, (48, 64, 3)))
    return tmp_path


def test_objects_are_the_components_of_things_with_their_boxes_and_pixels(camvid):
    data = LabelObjects(f'camvid:{camvid}', 'val', min_area=50)
    info, item = data.info(1), data.objects(1)
    assert [data.classes[label] for label in info['labels']] == ['sign', 'car', 'car']
    assert info['boxes'].tolist() == [[10, 30, 30, 44], [5, 4, 40, 26], [40, 30, 60, 44]]
    assert info['areas'].tolist() == [280, 12 * 19 + 160, 280] == item.masks.sum((1, 2)).tolist()
    assert item.masks[1, 4:16, 5:24].all() and item.masks[1, 16:26, 24:40].all()
    ids = [int(key) for index in range(len(data)) for key in data.info(index)['ids']]
    assert ids == list(range(1, 10)) and '3 with fewer than 50 pixels are left out' in data.notes[0]


def test_a_limited_number_of_images_is_that_of_segmentation_with_the_same_ids(camvid):
    whole, some = (LabelObjects(f'camvid:{camvid}', 'val', min_area=50, limit=limit) for limit in (None, 2))
    images = SegmentationImages(f'camvid:{camvid}', 'val', limit=2)
    assert len(some) == 2 and [some.info(i)['image_id'] for i in range(2)] == images.indices.tolist()
    for index, image in enumerate(images.indices.tolist()):
        assert some.info(index)['boxes'].tolist() == whole.info(image)['boxes'].tolist()
        assert np.array_equal(some.objects(index).image, whole.objects(image).image)
        assert some.files(index) == whole.files(image)


def pieces(labels, value):
    """Components by flooding from each pixel, as frozen sets of positions."""
    left = {(int(y), int(x)) for y, x in np.argwhere(labels == value)}
    found = []
    while left:
        waiting, piece = [left.pop()], set()
        while waiting:
            y, x = waiting.pop()
            piece.add((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            waiting += near
        found.append(frozenset(piece))
    return found


@given(arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 4, 9, 255])), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_components_are_those_of_a_flood_fill(labels, smallest):
    components, small = find_components(labels, [9, 4], smallest)
    for label, value in enumerate([9, 4]):
        expected = {piece for piece in pieces(labels, value) if len(piece) >= smallest}
        found = set()
        for component in components:
            x1, y1, x2, y2 = component.box
            if component.label == label:
                found.add(frozenset((y + y1, x + x1) for y, x in np.argwhere(component.mask)))
                assert component.mask.shape == (y2 - y1, x2 - x1)
        assert found == expected
    assert small == sum(len(piece) < smallest for value in (9, 4) for piece in pieces(labels, value))


def test_the_probes_of_label_maps_score_the_validation_split_against_the_training_split(camvid):
    probe = probe_config(f'camvid:{camvid}', {}, size=64, measures=['OKNN', 'ContextShift', 'InterCouplingRatio'])
    dataset = ProbeDataset(**{key: value for key, value in probe.items() if key != 'type'}, cell=8)
    roles = {draw['role'] for draw in dataset.manifest['measures'][0]['draws']}
    assert roles == {'bank', 'query'} and not dataset.sources.one_split
    notes = dataset.metainfo['notes']
    assert any('InterCouplingRatio: left out, as no image of camvid-train' in note for note in notes)
    swapped = next(i for i, (m, _, p) in enumerate(dataset.index) if (m, p) == (2, 1))
    assert dataset[swapped]['inputs'].shape == (3, 64, 64)


def test_voc_has_its_objects_in_palette_images(voc):  # noqa: F811
    data = LabelObjects(f'voc:{voc}', 'val', min_area=40)
    info = data.info(0)
    assert [data.classes[label] for label in info['labels']] == ['bicycle'] and 'background' not in data.classes
    assert info['boxes'].tolist() == [[0, 1, 8, 6]] and data.objects(0).masks.sum() == 40


def test_things_are_classes_of_their_data():
    assert set(THINGS) == set(COMPONENTS)
    for kind, classes in (('voc', VOC_CLASSES), ('cityscapes', CITYSCAPES), ('camvid', CAMVID_CLASSES)):
        assert len(set(THINGS[kind]) & set(classes)) == len(THINGS[kind])


def test_data_without_objects_and_changed_label_maps_are_refused_in_one_line(camvid):
    with pytest.raises(UserError, match=r'no component of pole, sign, .* with at least 5000 pixels.*lower min_area'):
        LabelObjects(f'camvid:{camvid}', 'val', min_area=5000)
    with pytest.raises(UserError, match='LabelObjects: min_area must be'):
        LabelObjects(f'camvid:{camvid}', min_area=0)
    with pytest.raises(UserError, match='coco-stuff cannot be used here'):
        LabelObjects(f'coco-stuff:{camvid}')
    data = LabelObjects(f'camvid:{camvid}', 'val', min_area=50)
    write(camvid / 'annotations' / 'test' / '0.png', np.full((48, 64), ROAD))
    with pytest.raises(UserError, match=r'0\.png has changed since the start'):
        data.objects(0)
