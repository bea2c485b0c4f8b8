"""The mask tool, as a user calls it, and what it counts."""

import json

import cv2
import numpy as np
import pytest
import torch

from mmdecouple.commands import masks
from mmdecouple.evaluation.mask_statistics import MASK_TYPES, largest_component


def run(*words):
    """Calls the command with the words of a command line."""
    masks.main([str(word) for word in words])


@pytest.mark.parametrize('mask', MASK_TYPES)
def test_the_tool_writes_the_statistics_and_their_settings(mask, tmp_path):
    out = tmp_path / 'deep'
    run('--mask', mask, '--size', 7, 9, '--cut-ratio', 0.4, '--count', 500, '--out', out)
    found = json.loads((out / 'masks.json').read_text())
    low, high = {'rcc_printed': (0.05, 0.2), 'cutout': (0.55, 0.8)}.get(mask, (0.36, 0.44))
    assert low < found['masked_share_mean'] < high
    assert {'masked_share_std', 'region_ratio_mean', 'region_ratio_std', 'largest_component_mean'} < set(found)
    assert found['settings']['size'] == [7, 9] and found['settings']['mask'] == mask


def test_figure_12_is_a_picture(tmp_path):
    run('--figure', 12, '--out', tmp_path)
    assert cv2.imread(str(tmp_path / 'figure_12.png')).std() > 20
    arrays = np.load(tmp_path / 'figure_12.npz')
    assert arrays['rcc'].shape == (14, 14) and arrays['regions_rcc'].shape == (4, 4)


def test_figure_13_cuts_images_and_fills_them_from_the_next(tmp_path, capsys):
    run('--figure', 13, '--limit', 3, '--size', 7, '--out', tmp_path)
    assert cv2.imread(str(tmp_path / 'figure_13.png')).std() > 20
    arrays = np.load(tmp_path / 'figure_13.npz')
    cut, images, decoupled = arrays['masks'], arrays['images'], arrays['decoupled']
    assert cut.shape == (3, 7, 7) and images.shape == (3, 224, 224, 3) and cut.any((1, 2)).all()
    for row, column in ((10, 200), (100, 100), (223, 0)):
        for index in range(3):
            shown = (index + 1) % 3 if cut[index, row // 32, column // 32] else index
            assert (decoupled[index, row, column] == images[shown, row, column]).all()
    with pytest.raises(SystemExit):
        run('--figure', 13, '--limit', 1, '--out', tmp_path)
    assert 'figure 13 requires two images or more' in capsys.readouterr().err


def test_a_wrong_setting_ends_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run('--grid', 20, '--count', 3, '--out', tmp_path)
    assert end.value.code == 1
    assert capsys.readouterr().err.strip().splitlines() == [
        'mmdecouple: error: RegionCollaborativeCutout: grid must not exceed the shorter side of '
        'the mask of 14 x 14 cells, got 20.'
    ]


def test_pieces_that_touch_at_corners_are_separate():
    masks = torch.zeros(2, 4, 5, dtype=torch.bool)
    masks[0, 0, :3] = masks[0, 1, 3] = masks[0, 2, 3] = True
    assert largest_component(masks).tolist() == [3 / 20, 0.0]
