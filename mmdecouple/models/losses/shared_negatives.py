"""InfoNCE as a dense loss with negatives from the same step."""

import torch.nn.functional as F
from torch import Tensor

from .info_nce import info_nce


class SharedNegatives:
    """InfoNCE of matched features with the negatives of one step.

    Args:
        negatives: L2-normalized negatives, (Q, C).
        temperature: Temperature, above 0.
    """

    linear_in_target = False

    def __init__(self, negatives: Tensor, temperature: float) -> None:
        self.negatives, self.temperature = negatives, temperature

    def dense_target(self, features: Tensor) -> Tensor:
        """Returns the teacher's features unchanged: (M, C) -> (M, C)."""
        return features

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of matched features, which it normalizes: (M, C), (M, C) -> (M,)."""
        student, target = F.normalize(student, dim=1), F.normalize(target, dim=1)
        return info_nce(student, target, self.negatives, self.temperature)


def negatives_of(maps: Tensor) -> Tensor:
    """Returns the normalized means of all 3 x 3 neighborhoods: (B, C, h, w) -> (B * (h - 2) * (w - 2), C)."""
    means = F.normalize(F.avg_pool2d(maps, 3, stride=1), dim=1)
    return means.permute(0, 2, 3, 1).flatten(0, 2)
