"""Confusion matrices, scores of them and of resampled images, and two assignments of clusters to classes."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmdecouple.evaluation.segmentation.label_sources import IGNORE
from mmdecouple.evaluation.stats import Statistic
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


def tally(confusion: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """Returns all that IoU and pixel accuracy need of a confusion matrix, which can be added up over images.

    Args:
        confusion: Counts `(C, C)` by prediction and label.

    Returns:
        Integers `(3, C)`: pixels of each class that are predicted correctly, predicted, and labelled.
    """
    parts = [confusion.diagonal(), confusion.sum(1), confusion.sum(0)]
    return torch.stack(parts) if isinstance(confusion, Tensor) else np.stack(parts)


def tally_iou(tallies: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of each class; 0 for a class that is neither predicted nor labelled.

    Args:
        tallies: Numbers `(..., 3, C)`, see `tally`.

    Returns:
        float64 `(..., C)` in [0, 1].
    """
    hits, predicted, labelled = np.moveaxis(np.asarray(tallies, np.float64), -2, 0)
    return hits / np.maximum(predicted + labelled - hits, 1)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Returns `tally_iou` `(C,)` of one confusion matrix `(C, C)` by prediction and label."""
    return tally_iou(tally(confusion))


def tally_scores(tallies: np.ndarray) -> dict[str, float]:
    """Computes the scores of all pixels, all in [0, 1].

    Args:
        tallies: Integers `(3, C)`, see `tally`, summed over images.

    Returns:
        Dict with `miou`, the mean IoU over ALL classes, where a class without a labelled pixel counts as 0 as in the
        reference; `miou_present`, the mean over the classes that have labelled pixels; and `pixel_accuracy`, the share
        of the labelled pixels whose class is correct.

    Source: `MkuuWaUjinga/leopart` `experiments/utils.py`, `PredsmIoU`.
    """
    iou, present = tally_iou(tallies), tallies[2] > 0
    return dict(
        miou=float(iou.mean()),
        miou_present=float(iou[present].mean()) if present.any() else 0.0,
        pixel_accuracy=float(tallies[0].sum() / max(tallies[2].sum(), 1)),
    )


def scores(confusion: np.ndarray) -> dict[str, float]:
    """Returns `tally_scores` of one confusion matrix `(C, C)` by prediction and label."""
    return tally_scores(tally(confusion))


def mean_iou(tallies: np.ndarray, chosen: np.ndarray | None = None) -> Statistic:
    """Returns the mean IoU over chosen classes as a statistic of images, see `stats.estimate`.

    A class that is not labelled in a resample is represented by its IoU on all images, as in `stats.class_mean`.

    Args:
        tallies: Integers `(n, 3, C)` of n images, see `tally`.
        chosen: bool `(C,)`, at least one class; None for the classes that have labelled pixels.
    """
    parts = np.moveaxis(np.asarray(tallies, np.float64), 1, 0)
    total = tallies.sum(0)
    overall = tally_iou(total)
    classes = total[2] > 0 if chosen is None else chosen

    def statistic(weights: np.ndarray) -> np.ndarray:
        drawn = np.stack([weights @ part for part in parts], axis=1)
        return np.where(drawn[:, 2] > 0, tally_iou(drawn), overall)[:, classes].mean(1)

    return statistic


def tally_statistic(tallies: np.ndarray, key: str) -> Statistic:
    """Returns a score as a statistic of images, see `stats.estimate`.

    Args:
        tallies: Integers `(n, 3, C)` of n images, see `tally`.
        key: Score of `tally_scores`. The classes with labelled pixels are those of all images, see `mean_iou`.
    """
    if key == 'pixel_accuracy':
        hits, _, labelled = np.moveaxis(tallies.sum(-1).astype(np.float64), 1, 0)
        return lambda weights: weights @ hits / np.maximum(weights @ labelled, 1)
    present = tallies.sum(0)[2] > 0
    if not present.any():
        return lambda weights: np.zeros(len(weights))
    share = 1.0 if key == 'miou_present' else present.mean()
    mean = mean_iou(tallies)
    return lambda weights: share * mean(weights)


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
