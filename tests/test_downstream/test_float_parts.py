"""Coordinates under mixed precision."""

import pytest
import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmengine.registry import DefaultScope

from mmdecouple.downstream import FloatRoIExtractor, FloatRPNHead

SETTINGS = dict(roi_layer=dict(type='RoIAlign', output_size=3), out_channels=4, featmap_strides=[4, 8])


def case():
    torch.manual_seed(0)
    maps = [torch.randn(2, 4, side, side).bfloat16().float() for side in (260, 130)]
    corners = torch.tensor([[0, 901.3], [1, 517.7], [1, 3.1]])
    far = corners[:, 1:] + torch.tensor([[90.0], [130.0], [30.0]])
    return maps, torch.cat([corners, corners[:, 1:], far, far], dim=1)


def test_without_mixed_precision_the_extractor_is_that_of_mmdet():
    maps, boxes = case()
    assert torch.equal(FloatRoIExtractor(**SETTINGS)(maps, boxes), SingleRoIExtractor(**SETTINGS)(maps, boxes))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_boxes_and_sampling_keep_their_precision(dtype):
    maps, boxes = case()
    extractor = FloatRoIExtractor(**SETTINGS)
    with torch.autocast('cpu', dtype):
        low = [(level * torch.ones(())).to(dtype).requires_grad_() for level in maps]
        found = extractor(low, boxes)
    expected = SingleRoIExtractor(**SETTINGS)([level.detach().float() for level in low], boxes)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    found.sum().backward()
    assert all(level.grad.dtype == dtype and level.grad.abs().sum() > 0 for level in low)


def test_proposals_are_those_of_mmdet_and_under_mixed_precision_in_float32():
    settings = dict(
        in_channels=4,
        feat_channels=4,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        anchor_generator=dict(type='AnchorGenerator', scales=[2], ratios=[1.0], strides=[4, 8]),
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        maps, (ours, theirs) = case()[0], (FloatRPNHead(**settings), RPNHead(**settings))
    theirs.load_state_dict(ours.state_dict())
    for found, expected in zip(ours(maps), theirs(maps)):
        assert all(torch.equal(a, b) for a, b in zip(found, expected))
    with torch.autocast('cpu', torch.bfloat16):
        assert {level.dtype for output in ours(maps) for level in output} == {torch.float32}
        assert theirs(maps)[0][0].dtype == torch.bfloat16
