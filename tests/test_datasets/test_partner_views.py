"""Windows of a pair of views that share most of their area."""

import numpy as np
import pytest

from mmdecouple.datasets.seeding import sample_rng
from mmdecouple.datasets.transforms import PartnerViews
from mmdecouple.utils.errors import UserError

VIEW = [dict(type='RandomResizedCropView', size=8), dict(type='RandomFlipView')]


def windows_of(seed: int, size=(100, 140), **options):
    results = dict(img=np.zeros((*size, 3), np.uint8), ori_shape=size, img_path='a', sample_idx=0)
    with sample_rng(seed, 0, 0):
        results = PartnerViews([VIEW], [3], **options)(results)
    return [view['crop_window'] for view in results['views']], results['remarks']


def pixels_shared(first, second, size):
    masks = [np.zeros(size, bool), np.zeros(size, bool)]
    for mask, (x, y, w, h) in zip(masks, (first, second)):
        mask[y : y + h, x : x + w] = True
    return (masks[0] & masks[1]).sum() / max(mask.sum() for mask in masks)


@pytest.mark.parametrize('size', [(100, 140), (150, 110)])
def test_the_pair_shares_half_of_the_larger_window_and_the_key_need_not(size):
    shares, others = [], []
    for seed in range(80):
        (query, key, partner), remarks = windows_of(seed, size)
        shares.append(pixels_shared(query, partner, size))
        others.append(pixels_shared(query, key, size))
        assert remarks == ()
    assert min(shares) >= 0.5 and len(set(shares)) > 20 and min(others) < 0.5


def test_a_pair_of_two_other_views_is_possible():
    for seed in range(20):
        windows, _ = windows_of(seed, pair=(2, 1), share=0.8)
        assert pixels_shared(windows[1], windows[2], (100, 140)) >= 0.8


@pytest.mark.parametrize('share, remarks', [(0.5, ()), (0.501, ('no partner',))])
def test_pairs_are_drawn_anew_as_given(monkeypatch, share, remarks):
    """The third draw shares exactly half of the larger window."""
    drawn = [(0, 0, 10, 10), (9, 9, 9, 9), (80, 0, 10, 10)]
    drawn += [(40, 0, 20, 10), (70, 0, 20, 10), (0, 0, 20, 10), (10, 0, 15, 10), *[(0, 0, 9, 9), (90, 0, 9, 9)] * 2]
    step, seen, order = PartnerViews([VIEW], [3], share=share, tries=5), [], iter(drawn)
    for view, crop in enumerate(step.crops):
        monkeypatch.setattr(crop, 'draw_window', lambda *size, view=view: seen.append(view) or next(order))
    results = step(dict(img=np.zeros((100, 100, 3), np.uint8)))
    windows = [view['crop_window'] for view in results['views']]
    if not remarks:
        assert seen == [0, 1, 2, 0, 2, 0, 2]
        assert windows == [(0, 0, 20, 10), (9, 9, 9, 9), (10, 0, 15, 10)]
    else:
        assert seen == [0, 1, 2] + [0, 2] * 4
        assert windows[0] == windows[2]
    assert results['remarks'] == remarks


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(pair=(0, 3)), r'pair\[1\] must lie in \[0, 2\], got 3'),
        (dict(pair=(1, 1)), r'pair must name two views, got \(1, 1\)'),
        (dict(share=0), 'share must lie in'),
        (dict(share=1.1), 'share must lie in'),
        (dict(tries=0), 'tries must be a whole number of at least 1, got 0'),
    ],
)
def test_settings_that_cannot_work_are_one_line(options, message):
    with pytest.raises(UserError, match=message):
        PartnerViews([VIEW], [3], **options)
