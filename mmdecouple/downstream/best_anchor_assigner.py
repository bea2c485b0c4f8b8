"""Assignment of anchors of a region proposal network to objects by detectron2's rule."""

import torch
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from torch import Tensor

from mmdecouple.registry import TASK_UTILS


@TASK_UTILS.register_module()
class BestAnchorAssigner(MaxIoUAssigner):
    """Assigns at least one anchor to every object: those with its highest IoU, including ties and low values.

    An anchor belongs to the object of its own highest IoU, or to the first of several. It is positive if this IoU is at
    least `pos_iou_thr`, or if it is the best anchor of any object; being the best anchor does not change the object to
    which it belongs. mmdet's rule differs in two points: a best anchor whose IoU is below `min_pos_iou` (0.3 in the
    default configs) remains background, and any other best anchor is reassigned to the object of which it is the best.
    An object that overlaps no anchor has none.

    Args:
        pos_iou_thr: Minimum IoU of a positive anchor, in [0, 1].
        neg_iou_thr: IoU below which an anchor that is not positive is background; anchors in between are not trained.

    Source: `Matcher` in `detectron2/modeling/matcher.py` with `allow_low_quality_matches`.
    """

    def __init__(self, pos_iou_thr: float = 0.7, neg_iou_thr: float = 0.3) -> None:
        super().__init__(pos_iou_thr, neg_iou_thr, iou_calculator=dict(type='mmdet.BboxOverlaps2D'))

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Assigns anchors to objects.

        Args:
            overlaps: IoU of K objects and N anchors, `(K, N)` in [0, 1].
            gt_labels: Classes of the objects, `(K,)`.

        Returns:
            Result with `gt_inds` `(N,)`: index of the object + 1, 0 for background, -1 for anchors that are not
            trained.
        """
        count, anchors = overlaps.shape
        if not count or not anchors:
            return super().assign_wrt_overlaps(overlaps, gt_labels)
        highest, nearest = overlaps.max(dim=0)
        best = overlaps.amax(dim=1, keepdim=True)
        positive = (highest >= self.pos_iou_thr) | ((overlaps == best) & (best > 0)).any(dim=0)
        found = torch.where(highest < self.neg_iou_thr, 0, -1)
        found = torch.where(positive, nearest + 1, found)
        labels = torch.where(positive, gt_labels[nearest], -1)
        return AssignResult(num_gts=count, gt_inds=found, max_overlaps=highest, labels=labels)
