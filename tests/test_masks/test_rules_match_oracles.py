"""Every batched rule equals, mask for mask, a plain version that is fed the same draws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdecouple import masks
from mmdecouple.evaluation.mask_statistics import mask_config, mask_statistics

from . import mask_oracles as oracles

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
seeds = st.integers(0, 2**31 - 1)
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)


def free_boxes(batch, number, size, seed, beyond=0.0):
    """Boxes anywhere in the view and up to a share of it `beyond`, thin, empty and whole-cell ones among them."""
    shares = oracles.seeded(batch, number, 2, 2, seed=seed) * (1 + 2 * beyond) - beyond
    corners = shares * torch.tensor([size[1], size[0]])
    whole = oracles.seeded(batch, number, 1, 1, seed=seed + 1) < 0.3
    corners = torch.where(whole, corners.round(), corners)
    return torch.cat((corners.amin(2), corners.amax(2)), -1)


@EXAMPLES
@given(
    size=sizes,
    number=st.integers(0, 9),
    ratio=st.floats(0, 1, width=32),
    seed=seeds,
    rule=st.sampled_from(['area', 'printed']),
    beyond=st.sampled_from([0.0, 0.5]),
)
def test_rcc_equals_the_per_sample_rule(size, number, ratio, seed, rule, beyond):
    boxes = free_boxes(4, number, size, seed, beyond)
    ratios = torch.tensor([0.4, 1.0, 0.0, ratio])
    draws = oracles.seeded(4, number, 2, seed=seed + 2)
    ours = masks.rcc(boxes, ratios, size, draws, rule)
    assert np.array_equal(ours.numpy(), oracles.rcc(boxes, ratios, size, draws, rule))


@EXAMPLES
@given(size=sizes, number=st.integers(0, 9), ratio=st.floats(0, 1), seed=seeds, halves=st.booleans())
def test_the_released_rule_equals_a_plain_version_on_any_boxes(size, number, ratio, seed, halves):
    boxes = free_boxes(4, number, size, seed).double()
    draws = oracles.seeded(4, number, 2, seed=seed + 2).double()
    if halves:
        # Corners, shares and places that are exactly between two cells.
        boxes, draws = (2 * boxes).round() / 2, (4 * draws).round() / 4
    ratios = [0.3, 0.5, 1.0, ratio]
    ours = masks.rcc(boxes, torch.tensor(ratios, dtype=torch.float64), size, draws, 'release')
    for mask, *one in zip(ours.numpy(), boxes.tolist(), ratios, draws.tolist()):
        assert np.array_equal(mask, oracles.released(one[0], one[1], size, one[2]))


@EXAMPLES
@given(
    side=st.integers(1, 24),
    data=st.data(),
    seed=seeds,
    ratio=st.one_of(st.sampled_from([0.2, 0.25, 0.3, 0.6]), st.floats(0, 1)),
)
def test_release_masks_and_their_statistics_are_those_of_the_released_rule_draw_for_draw(side, data, ratio, seed):
    size, grid = (side, side), data.draw(st.integers(1, min(side, 6)))
    sampler = masks.RegionCollaborativeCutout(grid=grid, cut_ratio=ratio, preset='release')
    ours = sampler.sample(4, size, generator=torch.Generator().manual_seed(seed)).numpy()
    plain, shares = plain_release(sampler, side, 4, seed)
    assert np.array_equal(ours, plain)
    found = mask_statistics(mask_config('rcc', [ratio], grid=grid, preset='release'), sampler, size, 4, seed)
    expected = dict(masked_share=plain.mean((1, 2)), region_ratio=np.array(shares))
    for name, values in expected.items():
        assert found[f'{name}_mean'] == pytest.approx(values.mean(), abs=1e-6)
        assert found[f'{name}_std'] == pytest.approx(values.std(), abs=1e-6)


def plain_release(sampler, side, count, seed):
    """Masks of the released rule from the sampler's draws, and the share of each of their regions that is cut."""
    generator, number = torch.Generator().manual_seed(seed), sampler.grid**2
    draws = torch.rand(count, number, 4, generator=generator).double()
    torch.rand(count, generator=generator)
    places = torch.rand(count, number, 2, generator=generator).double().tolist()
    found, shares = [], []
    for one, place in zip(draws, places):
        boxes = [
            [side * edge for edge in box]
            for box in oracles.released_boxes(one, sampler.grid, sampler.box_area, sampler.aspect)
        ]
        mask = oracles.released(boxes, sampler.cut_ratio[0], (side, side), place)
        held = [mask[np.ix_(*oracles.released_cells(box, mask.shape))] for box in boxes]
        found.append(mask)
        shares += [part.mean() for part in held if part.size]
    return np.stack(found), shares


@EXAMPLES
@given(
    size=sizes,
    number=st.integers(0, 9),
    ratio=st.floats(0, 1, width=32),
    seed=seeds,
    beyond=st.sampled_from([0.0, 0.5]),
)
def test_cutout_equals_the_per_sample_rule(size, number, ratio, seed, beyond):
    boxes = free_boxes(3, number, size, seed, beyond)
    ratios = torch.tensor([0.4, 1.0, ratio])
    draws = oracles.seeded(3, number, 2, seed=seed + 2)
    ours = masks.cutout(boxes, ratios, size, draws)
    assert np.array_equal(ours.numpy(), oracles.cutout(boxes, ratios, size, draws))


@EXAMPLES
@given(size=sizes, seed=seeds)
def test_the_share_of_a_region_counts_the_cells_that_it_touches_inside_the_view(size, seed):
    boxes, mask = free_boxes(3, 4, size, seed, beyond=0.5), oracles.seeded(3, *size, seed=seed + 1) < 0.5
    ours = masks.region_ratio(mask, boxes)
    for view, cut, regions in zip(ours.tolist(), mask, boxes.tolist()):
        for share, box in zip(view, regions):
            cells = oracles.touched(box, size)
            expected = sum(bool(cut[cell]) for cell in cells) / len(cells) if cells else float('nan')
            assert share == pytest.approx(expected, abs=1e-6, nan_ok=True)


@EXAMPLES
@given(size=sizes, ratio=st.floats(0, 1, width=32), tries=st.integers(1, 64), seed=seeds)
def test_blockwise_equals_the_per_sample_rule(size, ratio, tries, seed):
    ratios, draws = torch.tensor([0.3, 0.5, ratio]), oracles.seeded(3, tries, 4, seed=seed)
    ours = masks.blockwise(ratios, size, draws)
    assert np.array_equal(ours.numpy(), oracles.blockwise(ratios, size, draws))


@EXAMPLES
@given(size=sizes, ratio=st.floats(0, 1, width=32), seed=seeds)
def test_random_cells_equal_the_per_sample_rule(size, ratio, seed):
    ratios, draws = torch.tensor([0.5, 1.0, ratio]), oracles.seeded(3, size[0] * size[1], seed=seed)
    ours = masks.random_cells(ratios, size, draws)
    assert np.array_equal(ours.numpy(), oracles.random_cells(ratios, size, draws))


@EXAMPLES
@given(size=sizes, low=st.floats(0.05, 1), span=st.floats(0, 1), seed=seeds)
def test_rectangle_equals_the_per_sample_rule(size, low, span, seed):
    area, draws = (low, low + span * (1 - low)), oracles.seeded(3, 4, seed=seed)
    ours = masks.rectangle(area, (2 / 3, 3 / 2), size, draws)
    assert np.array_equal(ours.numpy(), oracles.rectangle(area, (2 / 3, 3 / 2), size, draws))


@EXAMPLES
@given(size=sizes, grid=st.integers(1, 4), seed=seeds)
def test_grid_regions_equal_the_per_sample_placement(size, grid, seed):
    draws = oracles.seeded(3, grid * grid, 4, seed=seed)
    ours = masks.place_regions(draws, size, grid=grid, area=(0.12, 0.3), aspect=(0.5, 2))
    np.testing.assert_allclose(
        ours, oracles.place_regions(draws, size, grid, (0.12, 0.3), (0.5, 2)), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize('preset', ['paper', 'release'])
def test_a_full_batch_of_grid_masks_equals_the_per_sample_rule(preset):
    constants = masks.PRESETS[preset]
    regions = masks.place_regions(
        oracles.seeded(64, 9, 4, seed=5), (14, 14), grid=3, area=constants['box_area'], aspect=constants['aspect']
    )
    ratios, draws = torch.linspace(*constants['cut_ratio'], 64), oracles.seeded(64, 9, 2, seed=6)
    ours = masks.rcc(regions, ratios, (14, 14), draws)
    assert np.array_equal(ours.numpy(), oracles.rcc(regions, ratios, (14, 14), draws, 'area'))
