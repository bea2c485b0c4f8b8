"""Confusion counts, what is computed from them, and two ways to give clusters a class."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmdecouple.evaluation.segmentation.sources import IGNORE
from mmdecouple.utils.errors import UserError


def count_pairs(predictions: Tensor, labels: Tensor, num_predictions: int, num_classes: int) -> Tensor:
    """How many pixels have each pair of prediction and label, on the device of the inputs.

    Args:
        predictions: Integers of any shape, in [0, num_predictions).
        labels: Integers of the same shape, in [0, num_classes) or `IGNORE`; ignored pixels are not counted.
        num_predictions: Number of classes, or of clusters.
        num_classes: Number of classes.

    Returns:
        int64 (num_predictions, num_classes).
    """
    kept = labels != IGNORE
    pairs = predictions[kept].long() * num_classes + labels[kept].long()
    return torch.bincount(pairs, minlength=num_predictions * num_classes).view(num_predictions, num_classes)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each class; 0 for a class that is neither predicted nor there.

    Args:
        confusion: (C, C) counts by prediction and label.

    Returns:
        float64 (C,) in [0, 1].
    """
    hits = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    return hits / np.maximum(union, 1)


def scores(confusion: np.ndarray) -> dict[str, float]:
    """Numbers of one confusion matrix, all in [0, 1].

    Args:
        confusion: (C, C) counts by prediction and label.

    Returns:
        `miou`: mean IoU over ALL classes; a class without a labelled pixel counts as 0, as in the reference.
        `miou_present`: mean over the classes that have labelled pixels.
        `pixel_accuracy`: share of the labelled pixels that are right.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `PredsmIoU`.
    """
    iou, present = class_iou(confusion), confusion.sum(0) > 0
    return dict(
        miou=float(iou.mean()),
        miou_present=float(iou[present].mean()) if present.any() else 0.0,
        pixel_accuracy=float(np.trace(confusion) / max(confusion.sum(), 1)),
    )


def majority_match(counts: np.ndarray) -> np.ndarray:
    """Class of each cluster by majority: the one that most of its labelled pixels have (many-to-one, by precision).

    This is NOT a Hungarian matching: several clusters may get one class, and a class may get none. Of equally frequent
    classes the first is taken; a cluster without a labelled pixel gets class 0.

    Args:
        counts: (K, C) pixels by cluster and label.

    Returns:
        int64 (K,).

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `many_to_one=True, precision_based=True`.
    """
    return counts.argmax(1)


def hungarian_match(counts: np.ndarray) -> np.ndarray:
    """Class of each cluster by the one-to-one matching with the largest sum of IoU.

    Args:
        counts: (K, C) pixels by cluster and label, K = C.

    Returns:
        int64 (K,), a permutation.

    Raises:
        ValueError: K differs from C.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `many_to_one=False`.
    """
    clusters, classes = counts.shape
    if clusters != classes:
        raise UserError(
            f'hungarian_match: one-to-one matching needs as many clusters as classes, got {clusters} '
            f'clusters and {classes} classes; use majority_match.'
        )
    union = counts.sum(1)[:, None] + counts.sum(0)[None] - counts
    return linear_sum_assignment(counts / np.maximum(union, 1), maximize=True)[1]


def merge_clusters(counts: np.ndarray, match: np.ndarray) -> np.ndarray:
    """Confusion matrix after every cluster has taken its class.

    Args:
        counts: (K, C) pixels by cluster and label.
        match: (K,) class of each cluster.

    Returns:
        int64 (C, C) counts by prediction and label.
    """
    confusion = np.zeros((counts.shape[1],) * 2, np.int64)
    np.add.at(confusion, match, counts)
    return confusion
