"""Statistics and examples of masks, against loops over the masks themselves."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from mmdecouple.evaluation.mask_statistics import collaboration, draw_masks, example_masks, mask_config, mask_statistics
from mmdecouple.masks import RegionCollaborativeCutout, build_mask, region_ratio

BOXES = dict(box_area=(0.2, 0.6), aspect=(0.5, 2.0))


def test_statistics_are_those_of_a_loop_over_masks():
    settings = dict(grid=2, **BOXES)
    config, regions = mask_config('blockwise', [0.2, 0.5]), RegionCollaborativeCutout(**settings)
    found = mask_statistics(config, regions, (9, 7), 40, seed=3)
    ((masks, boxes),) = draw_masks(config, regions, (9, 7), 40, seed=3)
    shares, largest = [], []
    for mask in masks.numpy():
        pieces, count = ndimage.label(mask)
        shares.append(mask.sum() / 63)
        largest.append(max([(pieces == piece).sum() for piece in range(1, count + 1)], default=0) / 63)
    ratios = region_ratio(masks, boxes, regions.rule).flatten().numpy()
    ratios = ratios[~np.isnan(ratios)].astype(float)
    assert found == pytest.approx(
        dict(
            masked_share_mean=np.mean(shares),
            masked_share_std=np.std(shares),
            region_ratio_mean=np.mean(ratios),
            region_ratio_std=np.std(ratios),
            largest_component_mean=np.mean(largest),
        ),
        rel=1e-6,
    )
    assert np.std(shares) > 0.01 and min(largest) < max(largest) and len(masks) == 40


def test_masks_come_in_parts_of_two_million_cells_from_one_generator():
    drawn = list(draw_masks(mask_config('rectangle', [0.5]), RegionCollaborativeCutout(), (1024, 1024), 5, seed=0))
    assert [len(masks) for masks, _ in drawn] == [len(boxes) for _, boxes in drawn] == [2, 2, 1]
    assert not torch.equal(drawn[0][0], drawn[1][0])
    # Larger than that: one by one.
    large = draw_masks(mask_config('rectangle', [0.5]), RegionCollaborativeCutout(), (2048, 1025), 2, seed=0)
    assert [len(masks) for masks, _ in large] == [1, 1]


def test_the_cut_ratio_of_every_type_is_one_number_or_low_and_high():
    assert mask_config('rcc', [0.4], grid=2) == dict(type='RegionCollaborativeCutout', cut_ratio=(0.4, 0.4), grid=2)
    assert mask_config('cutout', (0.2, 0.5), grid=2) == dict(type='Cutout', cut_ratio=(0.2, 0.5), grid=2)
    assert mask_config('random', (0.2, 0.5), grid=2) == dict(type='RandomMask', cut_ratio=(0.2, 0.5))
    assert mask_config('rectangle', (0.25, 0.5)) == dict(type='Rectangle', area=(0.5, 0.75))
    assert mask_config('blockwise') == dict(type='Blockwise')


def test_the_examples_are_one_mask_of_each_type_over_the_same_four_regions():
    names = ('rectangle', 'random', 'blockwise', 'cutout', 'rcc')
    masks, found = example_masks(names, 0.4, (14, 12), seed=5, **BOXES)
    assert tuple(masks) == names and set(found) == {'cutout', 'rcc'}
    sampler = RegionCollaborativeCutout(grid=2, **BOXES)
    for name in names:
        generator = torch.Generator().manual_seed(5)
        regions = sampler.regions(1, (14, 12), generator=generator)
        own = build_mask(mask_config(name, [0.4], grid=2, **BOXES), key='mask')
        expected = own.sample(1, (14, 12), generator=generator, regions=regions)[0]
        assert np.array_equal(masks[name], expected), name
        assert regions.shape == (1, 4, 4) and np.array_equal(found.get(name, regions[0]), regions[0])


def test_figure_11_has_mean_and_deviation_of_the_ratio_over_regions():
    seen, grids = [], (1, 3)
    found = collaboration(('rcc', 'cutout'), grids, 0.4, (16, 16), 30, 2, lambda *done: seen.append(done), **BOXES)
    assert seen == [(1, 2), (2, 2)] and list(found) == ['rcc', 'cutout']
    for name, rows in found.items():
        for grid, row in zip(grids, rows, strict=True):
            settings = dict(grid=grid, **BOXES)
            ((masks, boxes),) = draw_masks(
                mask_config(name, [0.4], **settings), RegionCollaborativeCutout(**settings), (16, 16), 30, seed=2
            )
            ratios = region_ratio(masks, boxes).double().numpy()
            assert ratios.shape == (30, grid**2)
            assert row == pytest.approx([ratios.mean(), ratios.std(ddof=1)], rel=1e-5)
