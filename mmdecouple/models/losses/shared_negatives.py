"""InfoNCE as the dense loss of a step whose negatives are its own."""

import torch.nn.functional as F
from torch import Tensor

from .info_nce import info_nce


class SharedNegatives:
    """InfoNCE of matched features against the negatives of one step.

    Args:
        negatives: L2-normalized, (Q, C).
        temperature: Above 0.
    """

    linear_in_target = False

    def __init__(self, negatives: Tensor, temperature: float) -> None:
        self.negatives, self.temperature = negatives, temperature

    def dense_target(self, features: Tensor) -> Tensor:
        """The teacher's features as they are."""
        return features

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Loss of matched features, not yet normalized: (M, C), (M, C) -> (M,)."""
        student, target = F.normalize(student, dim=1), F.normalize(target, dim=1)
        return info_nce(student, target, self.negatives, self.temperature)


def negatives_of(maps: Tensor) -> Tensor:
    """Normalized means of 3 x 3 positions, everywhere in the maps: (B, C, h, w) -> (B * (h - 2) * (w - 2), C)."""
    means = F.normalize(F.avg_pool2d(maps, 3, stride=1), dim=1)
    return means.permute(0, 2, 3, 1).flatten(0, 2)
