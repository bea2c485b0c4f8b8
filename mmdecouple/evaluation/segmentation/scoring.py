"""Confusion matrices, scores of them, and two assignments of clusters to classes."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmdecouple.evaluation.segmentation.label_sources import IGNORE
from mmdecouple.utils.errors import UserError


def count_pairs(predictions: Tensor, labels: Tensor, num_predictions: int, num_classes: int) -> Tensor:
    """Counts the pixels with each pair of prediction and label, on the device of the inputs.

    Args:
        predictions: Integers of any shape, in [0, P).
        labels: Integers of the same shape, in [0, C) or `IGNORE`; ignored pixels are not counted.
        num_predictions: Number of predicted classes or clusters P.
        num_classes: Number of classes C.

    Returns:
        int64 `(P, C)`.
    """
    labelled = labels != IGNORE
    pairs = predictions[labelled].long() * num_classes + labels[labelled].long()
    return torch.bincount(pairs, minlength=num_predictions * num_classes).view(num_predictions, num_classes)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of each class; 0 for a class that is neither predicted nor labelled.

    Args:
        confusion: Counts `(C, C)` by prediction and label.

    Returns:
        float64 `(C,)` in [0, 1].
    """
    hits = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    return hits / np.maximum(union, 1)


def scores(confusion: np.ndarray) -> dict[str, float]:
    """Computes the scores of one confusion matrix, all in [0, 1].

    Args:
        confusion: Counts `(C, C)` by prediction and label.

    Returns:
        Dict with `miou`, the mean IoU over ALL classes, where a class without a labelled pixel counts as 0 as in the
        reference; `miou_present`, the mean over the classes that have labelled pixels; and `pixel_accuracy`, the share
        of the labelled pixels whose class is correct.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `PredsmIoU`.
    """
    iou, present = class_iou(confusion), confusion.sum(0) > 0
    return dict(
        miou=float(iou.mean()),
        miou_present=float(iou[present].mean()) if present.any() else 0.0,
        pixel_accuracy=float(np.trace(confusion) / max(confusion.sum(), 1)),
    )


def majority_match(counts: np.ndarray) -> np.ndarray:
    """Assigns each cluster to the class of most of its labelled pixels (many-to-one, by precision).

    This is NOT a Hungarian matching: several clusters may be assigned to one class, and a class may have no cluster.
    Ties are broken by the class index; a cluster without a labelled pixel is assigned to class 0.

    Args:
        counts: Numbers of pixels `(K, C)` by cluster and label.

    Returns:
        int64 `(K,)`, class of each cluster.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `many_to_one=True, precision_based=True`.
    """
    return counts.argmax(1)


def hungarian_match(counts: np.ndarray) -> np.ndarray:
    """Assigns clusters to classes by the one-to-one matching with the largest sum of IoU.

    Args:
        counts: Numbers of pixels `(K, C)` by cluster and label, where K = C.

    Returns:
        int64 `(K,)`, class of each cluster; a permutation.

    Raises:
        UserError: K differs from C.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `many_to_one=False`.
    """
    clusters, classes = counts.shape
    if clusters != classes:
        raise UserError(
            f'hungarian_match: one-to-one matching requires as many clusters as classes, got {clusters} '
            f'clusters and {classes} classes; use majority_match.'
        )
    union = counts.sum(1)[:, None] + counts.sum(0)[None] - counts
    return linear_sum_assignment(counts / np.maximum(union, 1), maximize=True)[1]


def merge_clusters(counts: np.ndarray, match: np.ndarray) -> np.ndarray:
    """Returns the confusion matrix of clusters that are assigned to classes.

    Args:
        counts: Numbers of pixels `(K, C)` by cluster and label.
        match: Class of each cluster `(K,)`.

    Returns:
        int64 `(C, C)`, counts by prediction and label.
    """
    confusion = np.zeros((counts.shape[1],) * 2, np.int64)
    np.add.at(confusion, match, counts)
    return confusion
