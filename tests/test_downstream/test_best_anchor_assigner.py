"""Anchors are given to objects as detectron2 does it, and not as mmdet does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules import AnchorGenerator, MaxIoUAssigner
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from mmdecouple.downstream import BestAnchorAssigner

# Of the precision of the overlaps, in which the class compares.
LOW, HIGH = np.float32([0.3, 0.7])


def detectron2(overlaps):
    """The rule anchor by anchor: 1 + object for positives, 0 for background, -1 for what is not trained."""
    found = []
    for column in overlaps.T:
        nearest = max(range(len(column)), key=lambda k: (column[k], -k))
        best = any(column[k] > 0 and column[k] == overlaps[k].max() for k in range(len(column)))
        positive = best or column[nearest] >= HIGH
        found.append(nearest + 1 if positive else 0 if column[nearest] < LOW else -1)
    return found


def assign(assigner, anchors, boxes):
    objects = InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)) % 5)
    return assigner.assign(InstanceData(priors=anchors), objects)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_random_overlaps_are_assigned_by_the_rule_of_detectron2(data):
    # Few values, so that ties are common.
    shape = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    values = data.draw(
        st.lists(
            st.sampled_from([0.0, 0.1, 0.29, 0.3, 0.5, 0.7, 0.9]),
            min_size=shape[0] * shape[1],
            max_size=shape[0] * shape[1],
        )
    )
    overlaps = torch.tensor(values).reshape(shape)
    labels = torch.arange(shape[0]) + 10
    result = BestAnchorAssigner().assign_wrt_overlaps(overlaps, labels)
    expected = detectron2(overlaps.numpy())
    assert result.gt_inds.tolist() == expected
    assert result.labels.tolist() == [index + 9 if index > 0 else -1 for index in expected]
    assert torch.equal(result.max_overlaps, overlaps.max(dim=0).values)


def test_on_real_boxes_every_object_has_an_anchor_and_mmdet_leaves_some_without(coco128):
    coco = COCO(str(coco128 / 'annotations' / 'instances_val2017.json'))
    generator = AnchorGenerator(scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64])
    counts = dict(objects=0, without=0)
    for image in coco.loadImgs(coco.getImgIds()[:24]):
        boxes = np.array([one['bbox'] for one in coco.loadAnns(coco.getAnnIds(image['id'], iscrowd=False))])
        if not len(boxes):
            continue
        boxes[:, 2:] += boxes[:, :2]
        boxes = torch.from_numpy(boxes).float()
        sizes = [(-(-image['height'] // stride), -(-image['width'] // stride)) for stride in (4, 8, 16, 32, 64)]
        anchors = torch.cat(generator.grid_priors(sizes, device='cpu'))
        overlaps = BestAnchorAssigner().iou_calculator(boxes, anchors)
        found = assign(BestAnchorAssigner(), anchors, boxes).gt_inds
        # Only anchors that touch an object are slow to do by hand.
        near = overlaps.max(0).values > 0.25
        near |= (overlaps == overlaps.max(1, keepdim=True).values).any(0)
        assert found[near].tolist() == detectron2(overlaps[:, near].numpy())
        assert not found[~near].any()
        best = overlaps == overlaps.max(1, keepdim=True).values
        assert all((found[row] > 0).all() for row in best)
        stock = assign(
            MaxIoUAssigner(0.7, 0.3, 0.3, iou_calculator=dict(type='mmdet.BboxOverlaps2D')), anchors, boxes
        ).gt_inds
        counts['objects'] += len(boxes)
        counts['without'] += sum(index + 1 not in stock for index in range(len(boxes)))
    assert counts['objects'] > 100 and counts['without'] > 0


@pytest.mark.parametrize('anchors, boxes', [((0, 4), (2, 4)), ((3, 4), (0, 4))])
def test_without_objects_all_is_background_and_without_anchors_nothing_is_assigned(anchors, boxes):
    assert not assign(BestAnchorAssigner(), torch.rand(anchors).cumsum(1), torch.rand(boxes).cumsum(1)).gt_inds.any()
