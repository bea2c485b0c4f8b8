"""Detection metric of Pascal VOC, as in detectron2."""

from mmdet.evaluation import VOCMetric, eval_map

from mmdecouple.registry import METRICS

_PERCENTS = tuple(range(50, 100, 5))


@METRICS.register_module()
class VOCTenMetric(VOCMetric):
    """Mean over IoU 0.50, 0.55, ..., 0.95 of the 11-point AP of VOC 2007; objects marked as difficult do not count.

    mAP = 1/10 sum over t of AP_t, AP_t = mean over classes of 1/11 sum over r in {0, 0.1, ..., 1} of the highest
    precision at a recall of at least r. Boxes are pixel ranges: the width of a box is x2 - x1 + 1. The result
    has `mAP` and `AP50`, `AP55`, ..., `AP95`, in [0, 1] and not rounded.

    Args:
        collect_device: `cpu` or `gpu`, for results of several processes.
        prefix: Prefix of the names; None for `pascal_voc`.

    Source: `detectron2/evaluation/pascal_voc_evaluation.py`, which also rounds scores to 3 digits and coordinates to
        one digit.
    """

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(
            iou_thrs=[percent / 100 for percent in _PERCENTS],
            eval_mode='11points',
            collect_device=collect_device,
            prefix=prefix,
        )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores all images.

        Args:
            results: For each image, its annotations and, for each class, its detections `(N, 5)`: x1, y1, x2, y2,
                score.

        Returns:
            `mAP` and the AP at each threshold, in [0, 1].
        """
        truths, detections = zip(*results)
        scores = {
            f'AP{percent}': float(
                eval_map(
                    detections,
                    truths,
                    iou_thr=percent / 100,
                    logger='silent',
                    eval_mode='11points',
                    use_legacy_coordinate=True,
                )[0]
            )
            for percent in _PERCENTS
        }
        return {'mAP': sum(scores.values()) / len(scores), **scores}
