"""A wrong setting is one clear line that names the sampler, the value and the config key."""

import pytest
import torch

from mmdecouple.masks import PRESETS, Cutout, RegionCollaborativeCutout, build_mask

RCC = 'RegionCollaborativeCutout'


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (
            dict(type=RCC, cut_ratio=1.4),
            'RegionCollaborativeCutout: cut_ratio must lie in [0, 1], got 1.4 '
            '(config key model.decoupling.mask.cut_ratio).',
        ),
        (
            dict(type='RandomMask', cut_ratio=(0.6, 0.4)),
            'RandomMask: cut_ratio must have low <= high, got (0.6, 0.4) (config key model.decoupling.mask.cut_ratio).',
        ),
        (
            dict(type='Blockwise', cut_ratio='half'),
            "Blockwise: cut_ratio must be a number or a pair (low, high), got 'half' "
            '(config key model.decoupling.mask.cut_ratio).',
        ),
        (
            dict(type='Cutout', grid=0),
            'Cutout: grid must be a whole number of at least 1, got 0 (config key model.decoupling.mask.grid).',
        ),
        (
            dict(type=RCC, box_area=(0.15, 4)),
            'RegionCollaborativeCutout: box_area[1] must lie in (0, 1], got 4 '
            '(config key model.decoupling.mask.box_area[1]).',
        ),
        (
            dict(type='Rectangle', aspect=(0, 2)),
            'Rectangle: aspect[0] must be a number above 0, got 0 (config key model.decoupling.mask.aspect[0]).',
        ),
        (
            dict(type=RCC, preset='papre'),
            "RegionCollaborativeCutout: preset must be one of paper, release, got 'papre' "
            '(config key model.decoupling.mask.preset).',
        ),
        (
            dict(type=RCC, rule='side'),
            "RegionCollaborativeCutout: rule must be one of area, printed, release, got 'side' "
            '(config key model.decoupling.mask.rule).',
        ),
        (
            dict(type='Rcc'),
            'mask: type must be one of RegionCollaborativeCutout, Cutout, Blockwise, '
            "RandomMask, Rectangle, got 'Rcc' (config key model.decoupling.mask.type).",
        ),
        (
            dict(type='Blockwise', ratio=0.4),
            'Blockwise: ratio is not an argument of it; it takes cut_ratio (config key model.decoupling.mask.ratio).',
        ),
        (
            dict(type='Cutout', cut_ratio=float('nan')),
            'Cutout: cut_ratio must lie in [0, 1], got nan (config key model.decoupling.mask.cut_ratio).',
        ),
    ],
)
def test_a_wrong_setting_is_one_line_with_its_config_key(config, message):
    with pytest.raises(ValueError) as error:
        build_mask(config)
    assert str(error.value) == message


@pytest.mark.parametrize('preset', sorted(PRESETS))
def test_a_preset_fills_what_is_not_given(preset):
    mask = build_mask(dict(type=RCC, preset=preset, cut_ratio=0.5))
    assert mask.cut_ratio == (0.5, 0.5)
    assert (mask.grid, mask.box_area, mask.aspect, mask.rule) == tuple(
        PRESETS[preset][key] for key in ('grid', 'box_area', 'aspect', 'rule')
    )
    assert build_mask(dict(type=RCC, preset=preset, rule='printed')).rule == 'printed'


def test_a_grid_finer_than_the_mask_is_refused():
    with pytest.raises(ValueError, match=r'grid must not exceed .* 7 x 5 cells, got 6'):
        Cutout(grid=6).sample(2, (7, 5), generator=torch.Generator())


@pytest.mark.parametrize(
    ('box', 'place'),
    [((0, 0, 15, 4), r'regions\[1, 2\]'), ((-1, 0, 3, 4), r'regions\[1, 2\]'), ((5, 0, 3, 4), r'regions\[1, 2\]')],
)
def test_a_box_outside_the_view_is_named(box, place):
    regions = torch.tensor([0.0, 0.0, 14.0, 7.0]).repeat(2, 4, 1)
    regions[1, 2] = torch.tensor(box, dtype=torch.float32)
    with pytest.raises(ValueError, match=place + r'.* inside the view of 14 x 7 cells'):
        RegionCollaborativeCutout().sample(2, (7, 14), generator=torch.Generator(), regions=regions)


def test_regions_of_another_batch_are_refused():
    with pytest.raises(ValueError, match=r'shape \(B, K, 4\) with B = 3, got \(2, 4, 4\)'):
        Cutout().sample(3, (7, 7), generator=torch.Generator(), regions=torch.zeros(2, 4, 4))
