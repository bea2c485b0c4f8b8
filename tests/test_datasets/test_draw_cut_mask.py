"""Cut masks as a step of a pipeline."""
import numpy as np
import pytest

from mmdecouple.datasets.seeding import sample_rng
from mmdecouple.registry import TRANSFORMS


def draw(epoch, index):
    step = TRANSFORMS.build(
        dict(type='DrawCutMask', mask=dict(type='RegionCollaborativeCutout'), size=(7, 14)))
    with sample_rng(seed=3, epoch=epoch, index=index):
        return step(dict(img=np.zeros((4, 4, 3), np.uint8)))['cut_mask']


def test_a_mask_depends_on_seed_epoch_and_sample_alone():
    mask = draw(0, 5)
    assert mask.shape == (7, 14) and mask.dtype == bool and 0 < mask.mean() < 1
    assert np.array_equal(mask, draw(0, 5))
    assert not np.array_equal(mask, draw(1, 5)) and not np.array_equal(mask, draw(0, 6))


def test_a_wrong_mask_setting_or_size_is_named():
    with pytest.raises(ValueError, match=r'grid must be .* \(config key DrawCutMask\.mask\.grid\)'):
        TRANSFORMS.build(dict(type='DrawCutMask', mask=dict(type='Cutout', grid=0), size=(7, 7)))
    with pytest.raises(ValueError, match=r'DrawCutMask: size.0. must be .* got 0'):
        TRANSFORMS.build(dict(type='DrawCutMask', mask=dict(type='Blockwise'), size=(0, 7)))
