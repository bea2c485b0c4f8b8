"""Which anchors of a region proposal network are trained on which object, by detectron2's rule."""

import torch
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from torch import Tensor

from mmdecouple.registry import TASK_UTILS


@TASK_UTILS.register_module()
class BestAnchorAssigner(MaxIoUAssigner):
    """Gives every object at least one anchor: those of its highest IoU, however low, ties included.

    An anchor belongs to the object of its own highest IoU, the first of several. It is trained as that object if this
    IoU is at least `pos_iou_thr`, or if the anchor is the best of any object; a best anchor is only made positive and
    keeps the object that it belongs to. mmdet's rule differs twice: a best anchor whose IoU is below `min_pos_iou`
    (0.3 in the stock configs) stays background, and any other is handed over to the object it is the best of. An
    object that no anchor touches gets none.

    Args:
        pos_iou_thr: From this IoU on an anchor is positive.
        neg_iou_thr: Below it an anchor that is not positive is background; between the two it is not trained.

    Source: `Matcher` of `detectron2/modeling/matcher.py` with `allow_low_quality_matches`.
    """

    def __init__(self, pos_iou_thr: float = 0.7, neg_iou_thr: float = 0.3) -> None:
        super().__init__(pos_iou_thr, neg_iou_thr, iou_calculator=dict(type='mmdet.BboxOverlaps2D'))

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Assigns anchors to objects.

        Args:
            overlaps: IoU of K objects and N anchors, (K, N), in [0, 1].
            gt_labels: Classes of the objects, (K, ).

        Returns:
            `gt_inds` (N, ): index of the object + 1, 0 for background, -1 for anchors that are not trained.
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
