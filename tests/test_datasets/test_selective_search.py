"""Selective search and its filter are SoCo's."""

import json
from pathlib import Path

import numpy as np

from mmdecouple.datasets.selective_search import filter_proposals, selective_search

from .golden.make_selective_search import SEARCH, picture

GOLDEN = json.loads((Path(__file__).parent / 'golden' / 'selective_search.json').read_text())['rects']


def test_regions_are_those_of_socos_script_in_its_order():
    rects = np.array(GOLDEN)
    # Its rectangles hold the last column minus the first; ours end after the last column.
    expected = np.concatenate([rects[:, :2], rects[:, :2] + rects[:, 2:] + 1], axis=1)
    found = selective_search(picture(), **SEARCH)
    assert len(found) == 59
    np.testing.assert_array_equal(found, expected)


def test_one_color_is_one_region():
    assert selective_search(np.full((40, 50, 3), 7, np.uint8)).tolist() == [[0, 0, 50, 40]]


def test_the_filter_falls_back_from_size_to_aspect_to_the_smallest_side():
    def box(w, h):
        return [5, 5, 5 + w + 1, 5 + h + 1]

    middle, small, large = box(100, 60), box(32, 32), box(190, 190)
    long, thin = box(180, 40), box(190, 31)
    size = 200, 200

    def kept(*boxes):
        return filter_proposals(np.array(boxes), size).tolist()

    assert kept(middle, small, large, long, thin) == [middle]
    assert kept(small, large, long, thin) == [small, large]
    assert kept(thin, long) == [long]
    assert kept(thin) == []
    assert filter_proposals(np.zeros((0, 4), int), size).shape == (0, 4)


def test_the_filters_limits_are_inclusive():
    boxes = np.array([[0, 0, 61, 61], [0, 0, 161, 161], [0, 0, 163, 163], [0, 0, 97, 33], [0, 0, 98, 33]])
    kept = filter_proposals(boxes, (200, 200)).tolist()
    assert kept == [[0, 0, 61, 61], [0, 0, 161, 161]]
    assert filter_proposals(boxes[3:], (200, 200)).tolist() == [[0, 0, 97, 33]]
    assert filter_proposals(boxes[4:], (200, 200)).tolist() == [[0, 0, 98, 33]]
