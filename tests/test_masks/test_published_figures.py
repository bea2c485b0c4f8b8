"""RCC as it was run, and as the paper shows it: measured bands, not exact values."""

import json
from pathlib import Path

import pytest
import torch

from mmdecouple.evaluation.mask_statistics import draw_masks, mask_config, mask_statistics
from mmdecouple.masks import RegionCollaborativeCutout, masked_share, region_ratio


@pytest.mark.parametrize(
    ('cut_ratio', 'share', 'deviation', 'ratio', 'component'),
    [
        (0.2, 0.22, 0.03, 0.23, None),
        (0.3, 0.32, 0.04, 0.33, 0.12),
        (0.4, 0.42, 0.04, 0.45, 0.22),
        (0.5, 0.52, 0.04, 0.55, 0.36),
        (0.6, 0.60, 0.04, 0.64, None),
    ],
)
def test_rcc_has_the_statistics_of_the_authors_masks(cut_ratio, share, deviation, ratio, component):
    settings = dict(preset='release', grid=3)
    found = mask_statistics(
        mask_config('rcc', [cut_ratio], **settings), RegionCollaborativeCutout(**settings), (14, 14), 3000, seed=0
    )
    assert found['masked_share_mean'] == pytest.approx(share, abs=0.015)
    assert found['masked_share_std'] == pytest.approx(deviation, abs=0.007)
    assert found['region_ratio_mean'] == pytest.approx(ratio, abs=0.02)
    if component is not None:
        assert found['largest_component_mean'] == pytest.approx(component, abs=0.025)


@pytest.mark.parametrize('name', ['blockwise', 'rcc'])
def test_masks_with_a_range_of_ratios_have_the_statistics_of_the_official_data_sets(name):
    """Draws of the official loaders, `tests/test_models/golden`; half of those are empty, ours never are."""
    golden = json.loads((Path(__file__).parents[1] / 'test_models' / 'golden' / 'masks.json').read_text())
    expected, used = golden[name], 'empty ones left out'
    found = mask_statistics(
        mask_config(name, expected['ratio range of the half that is not empty'], preset='release'),
        RegionCollaborativeCutout(preset='release'),
        (golden['side'], golden['side']),
        3000,
        seed=0,
    )
    assert found['masked_share_mean'] == pytest.approx(expected[f'mean share, {used}'], abs=0.012)
    assert found['masked_share_std'] == pytest.approx(expected[f'deviation of the share, {used}'], abs=0.008)
    assert found['largest_component_mean'] == pytest.approx(expected[f'mean largest piece, {used}'], abs=0.02)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('rcc', (0.40, 0.41, 0.41, 0.41)),
        ('cutout', (0.40, 0.58, 0.76, 0.85)),
        ('rcc_printed', (0.08, 0.09, 0.10, 0.11)),
    ],
)
def test_the_cut_ratio_of_regions_follows_figure_11(name, expected):
    """Views of 224 x 224, box areas U(0.2, 1): RCC stays at 0.4, Cutout does not."""
    for grid, ratio in enumerate(expected, start=1):
        settings = dict(grid=grid, box_area=(0.2, 1.0), aspect=(0.5, 2.0))
        drawn = draw_masks(
            mask_config(name, [0.4], **settings), RegionCollaborativeCutout(**settings), (224, 224), 200, seed=1
        )
        measured = torch.cat([region_ratio(masks, boxes).flatten() for masks, boxes in drawn])
        assert measured.mean().item() == pytest.approx(ratio, abs=0.02), f'{grid * grid} regions'


def test_grid_masks_are_never_empty_unless_nothing_is_to_be_cut():
    for cut_ratio, expected in ((0.0, 0), (0.2, 3000), (0.5, 3000)):
        mask = RegionCollaborativeCutout(cut_ratio=cut_ratio, preset='release').sample(
            3000, (14, 14), generator=torch.Generator().manual_seed(0)
        )
        assert int(mask.flatten(1).any(1).sum()) == expected


@pytest.mark.parametrize('grid', [1, 2, 3, 4])
def test_the_masked_share_depends_on_the_grid_as_measured_with_the_released_code(grid):
    mask = RegionCollaborativeCutout(grid=grid, cut_ratio=(0.3, 0.5), preset='release').sample(
        2000, (14, 14), generator=torch.Generator().manual_seed(0)
    )
    expected = {1: 0.11, 2: 0.35, 3: 0.42, 4: 0.41}[grid]
    assert masked_share(mask).mean().item() == pytest.approx(expected, abs=0.025)
