"""Training on objects that a data set marks as difficult."""

from mmcv.transforms import BaseTransform

from mmdecouple.registry import TRANSFORMS


@TRANSFORMS.register_module()
class TrainOnIgnored(BaseTransform):
    """Clears the mark that makes mmdet ignore an object; stands after `LoadAnnotations`, in training alone.

    VOC's difficult objects bear it. With mmdet's detectors of two stages, whose assigners have `ignore_iof_thr=-1`,
    a proposal on such an object is trained as background; detectron2 trains it as the object it is.
    """

    def transform(self, results: dict) -> dict:
        """Sets `gt_ignore_flags` (N,) to False."""
        results['gt_ignore_flags'][:] = False
        return results
