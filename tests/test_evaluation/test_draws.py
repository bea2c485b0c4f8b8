"""What measures draw: as many as asked for, all that their filters let pass, and the same in every version."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdecouple.evaluation.measures.inter_coupling import draw_pairs

from .toys import CELL, SIZE, ToyObjects, toy_probes

# SHA-256 of the draws, first digits: numbers of two versions are comparable where these are the same.
DIGESTS = [
    (dict(type='OKNN'), '068068490db075fe'),
    (dict(type='OKNN', per_image=1, bank_images=9, query_images=5), '9b0d4a370c6b2e8f'),
    # Of 50 pairs: drawn one by one, and from a list of all.
    (dict(type='InterCouplingRatio', pairs=20, min_side=8), 'bfe434d9189f727e'),
    (dict(type='InterCouplingRatio', pairs=25, min_side=8), '1d948965c982f11b'),
    (dict(type='InterCouplingRatio', pairs=40, min_side=8), 'dd617316ce28ef8d'),
    (dict(type='IntraCouplingRatio', min_cells=4, min_part_cells=1), '65e2792f6c966e73'),
    (dict(type='ContextShift', objects=7), 'f3310174fd6c4e23'),
    (dict(type='BackgroundLeak', bank=9, queries=8), 'f9af47432c8eaa84'),
    (dict(type='LSC', images=4, window=3, cells=20), 'af04d75295424e62'),
]


def drawn(images=None, /, **measure):
    """The draws of one measure and its notes; of the same images in all roles, where they are given."""
    same = dict(objects=images, bank=images, singles=images) if images else {}
    (part,) = toy_probes(measures=[measure], **same).manifest['measures']
    return part['draws'], part['notes']


@pytest.mark.parametrize('measure, digest', DIGESTS)
def test_the_same_seed_draws_the_same_in_every_version(measure, digest):
    draws, _ = drawn(**measure)
    assert hashlib.sha256(json.dumps(draws, sort_keys=True).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    'measure, numbers',
    [
        (dict(type='OKNN', bank_images=1, query_images=1), dict(bank=1, query=1)),
        (dict(type='OKNN', bank_images=4, query_images=6), dict(bank=4, query=6)),
        (dict(type='OKNN', bank_images=14, query_images=10), dict(bank=14, query=10)),
        (dict(type='InterCouplingRatio', pairs=1, min_side=8), {None: 1}),
        (dict(type='InterCouplingRatio', pairs=13, min_side=8), {None: 13}),
        (dict(type='IntraCouplingRatio', objects=1, min_cells=4, min_part_cells=1), {None: 1}),
        (dict(type='IntraCouplingRatio', objects=5, min_cells=4, min_part_cells=1), {None: 5}),
        (dict(type='ContextShift', objects=2), {None: 2}),
        (dict(type='ContextShift', objects=10), {None: 10}),
        (dict(type='BackgroundLeak', bank=14, queries=3), dict(bank=14, query=3)),
        (dict(type='LSC', images=1, window=3), {None: 1}),
        (dict(type='LSC', images=10, window=7), {None: 10}),
    ],
)
def test_as_many_are_drawn_as_asked_for_without_a_remark(measure, numbers):
    draws, notes = drawn(**measure)
    roles = [draw.get('role') for draw in draws]
    assert {role: roles.count(role) for role in roles} == numbers and notes == []


@pytest.mark.parametrize(
    'measure, note',
    [
        (dict(type='ContextShift', objects=11), 'ContextShift: 10 of 11 objects asked for; used what there is.'),
        (dict(type='LSC', images=11), 'LSC: 10 of 11 images asked for; used what there is.'),
        (
            dict(type='BackgroundLeak', bank=14, queries=11),
            'BackgroundLeak: 10 of 11 query images asked for; used what',
        ),
    ],
)
def test_fewer_than_asked_for_are_remarked(measure, note):
    assert [found.startswith(note) for found in drawn(**measure)[1]] == [True]


@given(st.lists(st.integers(0, 3), max_size=9), st.integers(1, 90), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_pairs_differ_in_class_and_are_as_many_as_asked_for_or_all_there_are(labels, count, seed):
    every = {(a, b) for a, one in enumerate(labels) for b, other in enumerate(labels) if one != other}
    pairs = draw_pairs(np.array(labels, int), count, np.random.default_rng(seed))
    assert len(pairs) == len(set(pairs)) == min(count, len(every)) and set(pairs) <= every


@pytest.mark.parametrize('count', [1, 5, 100], ids=['few', 'half', 'all'])
def test_every_pair_is_as_likely_at_every_place(count):
    labels, rng, first = np.array([0, 1, 1, 2]), np.random.default_rng(0), []
    for _ in range(2000):
        first.append(draw_pairs(labels, count, rng)[0])
    shares = np.unique(first, axis=0, return_counts=True)[1] / 2000
    # Ten pairs of four images, of which two are of one class.
    assert len(shares) == 10 and abs(shares - 0.1).max() < 0.03


def of_boxes(*boxes):
    """Two images for each box (x, y, width, height), of different classes; masks fill the boxes."""
    data = ToyObjects(num_images=2 * len(boxes), counts=(1, 1))
    for index, item in enumerate(data.items):
        x, y, width, height = boxes[index // 2]
        mask = np.zeros((1, SIZE, SIZE), bool)
        mask[0, round(y) : round(y + height), round(x) : round(x + width)] = True
        data.items[index] = item._replace(
            boxes=np.array([[x, y, x + width, y + height]], np.float32), masks=mask, labels=np.array([index % 2])
        )
    return data


def test_pairs_are_of_images_with_one_object_at_or_within_the_limits_of_area_and_side():
    limits = dict(type='InterCouplingRatio', min_side=14)
    # Shares of the image: a quarter, at both sides 14 or 28; a little less and more; a quarter, but narrow.
    data = of_boxes((0, 0, 28, 28), (8, 0, 14, 56), (0, 4, 56, 14), (0, 0, 28, 27), (0, 0, 29, 28), (0, 0, 56, 13.9))
    draws, _ = drawn(data, **limits, min_area=0.25, max_area=0.25)
    assert {draw[key] for draw in draws for key in 'ab'} == set(range(6))
    draws, _ = drawn(data, **limits, min_area=0.2, max_area=0.3)
    assert {draw[key] for draw in draws for key in 'ab'} == set(range(10))
    item = data.items[0]
    data.items[0] = item._replace(
        **{key: np.repeat(getattr(item, key), 2, 0) for key in ('boxes', 'labels', 'masks')}, ids=np.array([100, 101])
    )
    draws, _ = drawn(data, **limits, min_area=0.2, max_area=0.3)
    assert {draw[key] for draw in draws for key in 'ab'} == set(range(1, 10)), 'an image of two objects is left out'


def test_parts_are_of_objects_at_or_above_the_limits_in_cells():
    # Nine cells, whose quadrants have 2.25.
    data = of_boxes((8, 16, 24, 24))
    assert len(drawn(data, type='IntraCouplingRatio', min_cells=9, min_part_cells=2.25)[0]) == 2
    for larger in (dict(min_cells=9.01, min_part_cells=1), dict(min_cells=4, min_part_cells=2.26)):
        with pytest.raises(ValueError, match='IntraCouplingRatio: no candidate'):
            drawn(data, type='IntraCouplingRatio', **larger)
    for item in data.items:
        item.masks[0, 16, 8] = False
    draws, _ = drawn(data, type='IntraCouplingRatio', min_cells=8, min_part_cells=2.25)
    assert len(draws) == 2 and all(draw['quadrant'] != 0 for draw in draws), 'its mask lacks a pixel there'
    with pytest.raises(ValueError, match='IntraCouplingRatio: no candidate'):
        drawn(data, type='IntraCouplingRatio', min_cells=9, min_part_cells=1)


@pytest.mark.parametrize('measure', ['OKNN', 'ContextShift', 'BackgroundLeak'])
def test_objects_are_those_whose_sides_are_at_least_a_cell(measure):
    data = of_boxes((3, 4, CELL, 20), (3, 4, 20, CELL), (3, 4, CELL - 0.1, 20), (3, 4, 20, CELL - 0.1))
    draws, _ = drawn(data, type=measure)
    assert {draw['image'] for draw in draws if draw.get('chosen', True)} == set(range(4))
    with pytest.raises(ValueError, match=f'{measure}: no candidate in data set toy0'):
        drawn(of_boxes((3, 4, CELL - 0.1, 20)), type=measure)


def test_another_image_is_the_other_one_of_two_and_a_single_image_has_none():
    draws, _ = drawn(ToyObjects(num_images=2), type='ContextShift')
    assert {(draw['image'], draw['background']) for draw in draws} == {(0, 1), (1, 0)}
    with pytest.raises(
        ValueError, match='toy0 holds a single image; add more images, as swapping backgrounds requires two'
    ):
        drawn(ToyObjects(num_images=1), type='ContextShift')


def test_cells_of_lsc_are_drawn_only_where_there_are_more_than_asked_for():
    cells = (SIZE // CELL) ** 2
    assert not any('places' in draw for draw in drawn(type='LSC', images=3, window=7, cells=cells)[0])
    for draw in drawn(type='LSC', images=3, cells=cells - 1)[0]:
        assert len(set(draw['places'])) == cells - 1 and draw['places'] == sorted(draw['places'])
