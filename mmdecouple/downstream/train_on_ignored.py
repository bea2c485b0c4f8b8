"""Transform for training on objects that a data set marks as difficult."""

from mmcv.transforms import BaseTransform

from mmdecouple.registry import TRANSFORMS


@TRANSFORMS.register_module()
class TrainOnIgnored(BaseTransform):
    """Clears the flag with which mmdet ignores an object; used after `LoadAnnotations`, in training only.

    VOC's difficult objects have this flag. Two-stage detectors of mmdet, whose assigners have `ignore_iof_thr=-1`,
    train a proposal on such an object as background, while detectron2 trains it as the object.
    """

    def transform(self, results: dict) -> dict:
        """Sets `gt_ignore_flags` `(N,)` to False."""
        results['gt_ignore_flags'][:] = False
        return results
