"""Boxes lie where their view shows the proposal, and ids tell which boxes are one proposal."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdecouple.datasets.seeding import sample_rng
from mmdecouple.datasets.transforms import BoxViews, OverlapViews, PackViews
from mmdecouple.registry import TRANSFORMS

SIDE = 64


def crop(scale=(0.3, 1.0), **options):
    return dict(type='mmdecouple.RandomResizedCropView', size=SIDE, scale=scale, **options)


def whole():
    return dict(type='mmdecouple.WholeImageView', size=SIDE)


def flip(prob=0.5):
    return dict(type='mmdecouple.RandomFlipView', prob=prob)


def sample(seed, proposals, views, counts, size=(150, 200), image=None, **options):
    image = np.zeros((*size, 3), np.uint8) if image is None else image
    results = dict(
        img=image,
        img_path='a.jpg',
        sample_idx=0,
        ori_shape=image.shape[:2],
        proposals=np.array(proposals, np.float32).reshape(-1, 4),
    )
    with sample_rng(seed, 0, 0):
        results = BoxViews(views, counts, **options)(results)
    packed = PackViews()(results)
    return packed['inputs'], packed['data_samples'], results


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    corner=st.tuples(st.integers(0, 150), st.integers(0, 100)),
    sides=st.tuples(st.integers(12, 120), st.integers(12, 120)),
    prob=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_painted_box_is_shown_where_its_mapped_box_says_flips_included(seed, corner, sides, prob):
    x1, y1 = corner
    x2, y2 = min(x1 + sides[0], 200), min(y1 + sides[1], 150)
    image = np.zeros((150, 200, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    inputs, packed, _ = sample(
        seed, [(x1, y1, x2, y2)], [[whole(), flip(prob)], [crop(), flip(prob)]], [1, 1], image=image, num_boxes=2
    )
    if packed.remarks:
        return
    rows, columns = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing='ij')
    for view, boxes in zip(inputs, packed.boxes):
        left, top, right, bottom = boxes[0] * SIDE
        # Positive inside the mapped box, in pixels of the view; resizing blurs the painted edge by at most two.
        depth = torch.stack([columns - left, right - columns, rows - top, bottom - rows]).amin(0)
        shown = view[0] > 127
        assert shown[depth > 2].all() and not shown[depth < -2].any()
        assert (boxes[0] == boxes[1]).all()


def test_flipping_a_view_mirrors_its_boxes_exactly():
    proposals = [(20, 30, 90, 110), (100, 10, 180, 70), (60, 60, 130, 140)]
    plain, mirrored = (sample(3, proposals, [[whole(), flip(p)], [crop(), flip(p)]], [1, 1])[1] for p in (0.0, 1.0))
    assert (plain.geometry[:, :4] == mirrored.geometry[:, :4]).all()
    back = mirrored.boxes.clone()
    back[..., 0], back[..., 2] = 1 - mirrored.boxes[..., 2], 1 - mirrored.boxes[..., 0]
    torch.testing.assert_close(back, plain.boxes)
    assert (plain.box_ids == mirrored.box_ids).all()


def test_coordinates_are_continuous_so_that_a_box_as_wide_as_its_view_ends_at_one():
    _, packed, _ = sample(0, [(0, 0, 200, 150), (50, 30, 100, 75)], [[whole()]], [2])
    whole_box, part = (packed.boxes[0][packed.box_ids[0] == index][0] for index in (1, 2))
    assert whole_box.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(part, torch.tensor([0.25, 0.2, 0.5, 0.5]))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 9), num_boxes=st.integers(1, 5))
def test_boxes_are_k_different_proposals_or_repeat_those_that_both_views_show(seed, count, num_boxes):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, [150, 100], (count, 2))
    proposals = np.concatenate([corners, corners + rng.integers(10, 50, (count, 2))], axis=1)
    _, packed, results = sample(seed, proposals, [[whole()], [crop((0.6, 1.0))]], [1, 1], num_boxes=num_boxes)
    assert packed.boxes.shape == (2, num_boxes, 4) and packed.box_ids.shape == (2, num_boxes)
    assert packed.boxes.dtype == torch.float32 and packed.box_ids.dtype == torch.int64
    assert packed.boxes.min() >= 0 and packed.boxes.max() <= 1
    if packed.remarks:
        return
    x, y, w, h = results['views'][1]['crop_window']
    meets = [bool(a < x + w and c > x and b < y + h and d > y) for a, b, c, d in proposals]
    for ids, boxes in zip(packed.box_ids, packed.boxes):
        assert len(set(ids.tolist())) == min(num_boxes, sum(meets))
        assert set(ids.tolist()) == set(packed.box_ids[0].tolist())
        assert all(meets[index - 1] for index in ids.tolist())
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        for index in set(ids.tolist()):
            assert (boxes[ids == index] == boxes[ids == index][0]).all()


def test_windows_are_drawn_anew_until_enough_proposals_are_common(monkeypatch):
    drawn = []
    windows = [(0, 0, 20, 20), (0, 0, 50, 40), (50, 50, 100, 90)]
    transform = BoxViews([[whole()], [crop()]], [1, 1], num_boxes=8)

    def draw_window(height, width):
        drawn.append(windows[len(drawn)])
        return drawn[-1]

    monkeypatch.setattr(transform.crops[1], 'draw_window', draw_window)
    # 0 of the 4 asked for, then 1 of 2, then 2 of 1.
    results = transform(
        dict(
            img=np.zeros((150, 200, 3), np.uint8),
            ori_shape=(150, 200),
            proposals=np.array([(30, 30, 45, 38), (60, 60, 90, 90), (100, 100, 120, 120)], np.float32),
        )
    )
    assert len(drawn) == 3 and results['remarks'] == ()
    assert set(results['box_ids'].ravel().tolist()) == {2, 3}


def test_a_pair_without_a_common_proposal_gets_the_whole_views_and_a_remark(monkeypatch):
    transform = BoxViews([[whole()], [crop()]], [1, 1])
    calls = []
    monkeypatch.setattr(transform.crops[1], 'draw_window', lambda *size: calls.append(size) or (0, 0, 30, 30))
    results = transform(
        dict(
            img=np.zeros((150, 200, 3), np.uint8),
            ori_shape=(150, 200),
            proposals=np.array([(100, 100, 120, 120)], np.float32),
        )
    )
    assert len(calls) == 5 and results['remarks'] == ('no overlap',)
    assert (results['boxes'] == [0, 0, 1, 1]).all() and (results['box_ids'] == 1).all()


def test_an_image_without_proposals_is_its_own_proposal_and_remarked():
    _, packed, results = sample(5, [], [[whole()], [crop((0.6, 0.8))]], [1, 1])
    assert packed.remarks == ('no proposal',) and (packed.box_ids == 1).all()
    # The crop lies inside the image, so both boxes fill their views.
    assert (packed.boxes == torch.tensor([0.0, 0.0, 1.0, 1.0])).all()


def test_several_pairs_have_boxes_of_their_own_and_jitter_moves_the_first_views_only():
    corners = [(x, y) for x in (20, 80, 140) for y in (20, 60, 100)]
    proposals = [(x, y, x + 40, y + 36) for x, y in corners]
    moved = 0
    for seed in range(20):
        options = dict(pairs=[(0, 1), (0, 2)], jitter_prob=0.5, jitter=0.1)
        _, packed, _ = sample(seed, proposals, [[whole()], [crop((1.0, 1.0), ratio=(4 / 3, 4 / 3))]], [1, 2], **options)
        assert packed.boxes.shape == (2, 2, 4, 4) and packed.box_ids.shape == (2, 2, 4)
        exact = torch.tensor(proposals)[packed.box_ids - 1] / torch.tensor([200, 150, 200, 150])
        torch.testing.assert_close(packed.boxes[:, 1], exact[:, 1])
        change = (packed.boxes - exact)[:, 0] / torch.tensor([40 / 200, 36 / 150] * 2)
        # x and w each change by at most a tenth of the width, so the right edge by at most two tenths.
        assert change[..., :2].abs().max() <= 0.1 + 1e-5 and change[..., 2:].abs().max() <= 0.2 + 1e-5
        moved += int((change.abs().amax(-1) > 1e-4).sum())
        assert not (packed.box_ids[0] == packed.box_ids[1]).all() or seed
    assert 50 < moved < 110


def test_boxes_move_by_given_draws_as_in_the_official_code(monkeypatch):
    case = json.loads((Path(__file__).parents[1] / 'test_models/golden/soco.json').read_text())['jitter']
    beyond_last_pixel = np.array([0, 0, 1, 1])

    def draws(low, high, size):
        assert (low, high, size) == (-case['ratio'], case['ratio'], (4, 4))
        return np.array(case['draws'])

    monkeypatch.setattr(np.random, 'uniform', draws)
    monkeypatch.setattr(np.random, 'permutation', np.asarray)
    _, packed, _ = sample(0, case['boxes'] + beyond_last_pixel, [[whole()]], [2], jitter_prob=1.0, jitter=case['ratio'])
    sides = np.array([200, 150, 200, 150])
    np.testing.assert_allclose(packed.boxes[0], (case['moved'] + beyond_last_pixel) / sides, atol=1e-6)
    np.testing.assert_allclose(packed.boxes[1], (case['boxes'] + beyond_last_pixel) / sides, atol=1e-6)


def overlap_windows(seed, views, counts, size=(100, 140), **options):
    results = dict(img=np.zeros((*size, 3), np.uint8), ori_shape=size, img_path='a', sample_idx=0)
    with sample_rng(seed, 0, 0):
        results = OverlapViews(views, counts, **options)(results)
    return [view['crop_window'] for view in results['views']], results['remarks']


def shared(first, second):
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)


def test_every_crop_overlaps_every_earlier_global_one():
    redrawn = 0
    for seed in range(60):
        views = [[crop((0.25, 1.0))], [crop((0.05, 0.25))]]
        windows, remarks = overlap_windows(seed, views, [2, 4])
        free, _ = overlap_windows(seed, views, [2, 4], overlap=0.0, tries=1)
        redrawn += windows != free
        assert remarks == ()
        assert shared(windows[0], windows[1]) > 0.02 * 14_000
        assert all(shared(small, large) > 0.01 * 14_000 for small in windows[2:] for large in windows[:2])
    assert redrawn > 10


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.tuples(st.integers(2, 60), st.integers(2, 60)), num_global=st.integers(2, 4))
def test_where_no_crop_fits_one_is_moved_onto_the_common_part_and_remarked(seed, size, num_global):
    views = [[crop((0.01, 0.2))], [crop((0.001, 0.02))]]
    windows, remarks = overlap_windows(seed, views, [num_global, 3], size=size, tries=1)
    earlier = []
    for view, window in enumerate(windows):
        x, y, w, h = window
        assert x >= 0 and y >= 0 and x + w <= size[1] and y + h <= size[0]
        assert all(shared(window, other) > 0 for other in earlier)
        if view < num_global:
            earlier.append(window)
    assert set(remarks) <= {'no overlap'} and len(remarks) < len(windows)


def test_a_window_that_never_fits_is_centered_on_the_common_part_as_far_as_the_image_allows(monkeypatch):
    """Image of 100 x 60 pixels; all windows are given."""
    drawn = [(0, 0, 50, 40), (30, 20, 50, 30), (80, 50, 16, 8), (90, 50, 10, 10), (0, 0, 64, 60)]
    step = OverlapViews([[crop()], [crop()]], [2, 3], overlap=0.0, tries=3)
    calls = []
    for view, window in enumerate(drawn):
        monkeypatch.setattr(step.crops[view], 'draw_window', lambda *size, view=view: calls.append(view) or drawn[view])
    results = step(dict(img=np.zeros((60, 100, 3), np.uint8)))
    # The common part of the two global windows is (30, 20, 20, 20), with its center at (40, 30).
    assert [view['crop_window'] for view in results['views']] == [
        *drawn[:2],
        (40 - 8, 30 - 4, 16, 8),
        (40 - 5, 30 - 5, 10, 10),
        drawn[4],
    ]
    assert calls == [0, 1, 2, 2, 2, 3, 3, 3, 4] and results['remarks'] == ('no overlap',) * 2


@pytest.mark.parametrize('overlap, redrawn', [(0.0999, False), (0.1, True)])
def test_two_global_windows_share_more_than_twice_the_overlap_and_others_more_than_it(monkeypatch, overlap, redrawn):
    """Image of 100 x 50 pixels: 0.1 of it is 500 pixels; the global windows share 1000, the small one 500 of each."""
    drawn = [(0, 0, 60, 50), (40, 0, 60, 50), (40, 0, 20, 25)]
    step = OverlapViews([[crop()], [crop()]], [2, 1], overlap=overlap, tries=2)
    calls = []
    for view in range(3):
        monkeypatch.setattr(step.crops[view], 'draw_window', lambda *size, view=view: calls.append(view) or drawn[view])
    results = step(dict(img=np.zeros((50, 100, 3), np.uint8)))
    assert calls == ([0, 1, 1, 2, 2] if redrawn else [0, 1, 2])
    assert results['remarks'] == ('no overlap',) * (2 * redrawn)


@pytest.mark.parametrize(
    'config, word',
    [
        (dict(type='BoxViews', views=[[flip()]], num_views=[2]), 'RandomFlipView'),
        (dict(type='BoxViews', views=[[crop()]], num_views=[2], pairs=[(0, 2)]), 'pairs'),
        (dict(type='BoxViews', views=[[crop()]], num_views=[2], num_boxes=0), 'num_boxes'),
        (dict(type='BoxViews', views=[[crop()]], num_views=[2], common=5), 'common'),
        (dict(type='BoxViews', views=[[crop()]], num_views=[2], jitter=0.5), 'jitter'),
        (dict(type='OverlapViews', views=[[flip()]], num_views=[2]), 'RandomFlipView'),
        (dict(type='OverlapViews', views=[[crop()]], num_views=[2], overlap=0.6), 'overlap'),
        (dict(type='OverlapViews', views=[[crop()]], num_views=[2], tries=0), 'tries'),
        (dict(type='WholeImageView', size=0), 'WholeImageView: size'),
    ],
)
def test_a_setting_that_cannot_work_is_named(config, word):
    with pytest.raises(ValueError, match=word):
        TRANSFORMS.build(config)
