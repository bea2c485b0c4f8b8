"""Distillation of the affinities between points from a teacher to a student."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmdecouple.models.losses import affinity_distillation
from mmdecouple.models.point_grid import PointPairs
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .center import Center
from .teacher_temperature import TeacherTemperature


@MODELS.register_module()
class PointAffinity(nn.Module):
    """Cross-entropy of the student's affinities with the teacher's, centered and sharpened as in DINO.

    The logits of a position are its cosines with all N points of another view, followed by its K prototype logits.

    Args:
        points: Number of points N, at least 1.
        prototypes: Number of prototypes K, at least 1.
        reach: Points of two views match if they are closer than this, in diagonals of the larger of their two cells;
            above 0.
        scale: Factor of the cosines, at least 0.
        student_temperature: Temperature of the student's softmax, above 0.
        teacher_temperature: First and last temperature of the teacher's softmax, above 0.
        warmup_epochs: Number of epochs of the linear change from the first to the last temperature, at least 0.
        center_momentum: Momentum of the center, in [0, 1].

    Raises:
        SettingError: A value is out of range.

    Source: arXiv 2202.04639, section 3.3; the constants are those of `facebookresearch/PLRC PLRC/models/plrc_loss.py`
        except for `scale`, which is 1 / 128 there.
    """

    def __init__(
        self,
        points: int,
        prototypes: int,
        reach: float = 0.5,
        scale: float = 1.0,
        student_temperature: float = 0.1,
        teacher_temperature: Sequence[float] = (0.04, 0.07),
        warmup_epochs: int = 30,
        center_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        check = Settings(self, 'model.affinity')
        check.number('points', points, 1, whole=True)
        check.number('prototypes', prototypes, 1, whole=True)
        self.reach = check.number('reach', reach, above=0)
        self.scale = check.number('scale', scale, 0)
        self.student_temperature = check.number('student_temperature', student_temperature, above=0)
        first, last = check.numbers('teacher_temperature', teacher_temperature, 2, above=0)
        check.number('warmup_epochs', warmup_epochs, 0, whole=True)
        check.number('center_momentum', center_momentum, 0, 1)
        self.teacher_temperature = TeacherTemperature(first, last, warmup_epochs)
        self.center = Center(points + prototypes, center_momentum)

    def logits(self, bottleneck: Tensor, points: Tensor, last_layer: nn.Module) -> Tensor:
        """Returns the logits of the positions of maps, (B, P, N + K).

        Args:
            bottleneck: L2-normalized features of the positions, (B, P, C).
            points: The teacher's features of the points of the other view, (B, N, C).
            last_layer: Prototypes, a linear layer C -> K.
        """
        with torch.autocast(bottleneck.device.type, enabled=False):
            return torch.cat([self.scale * (bottleneck @ points.transpose(1, 2)), last_layer(bottleneck)], dim=2)

    def forward(self, student: Tensor, teacher: Tensor, weights: Tensor, pairs: PointPairs) -> Tensor:
        """Returns the mean cross-entropy over all pairs, ().

        Args:
            student: Logits of the student's positions, (B, P, N + K).
            teacher: Logits of the teacher's positions, (B, P, N + K).
            weights: Interpolation weights from positions to points, (N, P).
            pairs: Matching points of the two views.
        """
        return affinity_distillation(
            student,
            teacher,
            self.center.value,
            weights,
            pairs,
            self.student_temperature,
            self.teacher_temperature.value,
        )

    @torch.no_grad()
    def update(self, teacher: Tensor, weights: Tensor, pairs: PointPairs) -> None:
        """Updates the center with the teacher's mean logits over all pairs of the batch; arguments as for `forward`."""
        counts = pairs.second_counts()
        with torch.autocast(teacher.device.type, enabled=False):
            share = (counts / counts.sum().clamp(min=1)).to(weights.dtype) @ weights
            self.center.update(torch.einsum('bp,bpk->k', share, teacher))
