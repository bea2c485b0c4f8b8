"""Gram anchoring: similarities between the patches of a view stay close to those of an earlier teacher."""

from copy import deepcopy
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from mmengine.dist import broadcast
from torch import Tensor, nn

from mmdecouple.models.backbones import dense_map
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from .base import LossTerm

if TYPE_CHECKING:
    from mmdecouple.models.algorithms.base import DenseAlgorithm
    from mmdecouple.models.algorithms.step import Step


@MODELS.register_module()
class GramAnchoring(LossTerm):
    """L = weight * mean_{v, i, j} (<x_i, x_j> - <g_i, g_j>)^2 over all pairs of positions of the student's clean views.

    x are the L2-normalized backbone features of the student, masked patches included, and g those of the Gram teacher:
    a frozen copy of the teacher's backbone, in evaluation mode. The Gram teacher is part of checkpoints. A run starts
    with the teacher of its initial weights, and a resumed run has the one of the checkpoint. The products and their
    difference are float32 under autocast.

    Args:
        student: Modules that the teacher copies, with the `backbone`.
        weight: Factor of the term, at least 0.
        start_epoch: First epoch (from 0) in which the term is computed.
        refresh_epochs: Epochs after which the Gram teacher is replaced by the teacher, counted from `start_epoch`, at
            which it is replaced first if that is above 0; None keeps the teacher of the start of the run.
        scale: Factor on the side of the views that the Gram teacher gets, enlarged by bicubic interpolation; its map is
            reduced in the same way. At least 1.

    Raises:
        SettingError: A value is out of range.

    Source: DINOv3, arXiv 2508.10104, section 4, which sums the squares. In its published configuration, the weight is
        2, all tokens are used, the Gram teacher is replaced every 10,000 iterations, three times in all, and its views
        have twice the side. They are crops of the image without color changes there; here they are the student's views,
        enlarged.
    """

    reads_map = True

    def __init__(
        self,
        student: dict[str, nn.Module],
        weight: float = 2.0,
        start_epoch: int = 0,
        refresh_epochs: int | None = None,
        scale: int = 1,
    ) -> None:
        super().__init__(student, weight, start_epoch)
        check = Settings(self, 'model.terms')
        self.refresh_epochs = check.number('refresh_epochs', refresh_epochs, 1, whole=True, optional=True)
        self.scale = check.number('scale', scale, 1, whole=True)
        self.backbone = deepcopy(student['backbone']).requires_grad_(False)

    def train(self, mode: bool = True) -> 'GramAnchoring':
        """Keeps the Gram teacher in evaluation mode."""
        return super().train(False)

    def reset(self, teacher: nn.Module) -> None:
        """Copies the teacher's backbone, whose running statistics are those of the first process in all processes."""
        self.backbone.load_state_dict(teacher.backbone.state_dict())
        for buffer in self.backbone.buffers():
            broadcast(buffer)

    def end_epoch(self, epoch: int, teacher: nn.Module) -> None:
        """Replaces the Gram teacher if the next epoch is due for it."""
        done = epoch + 1 - self.first_epoch
        if self.refresh_epochs and done >= 0 and done % self.refresh_epochs == 0:
            self.reset(teacher)

    def forward(self, step: 'Step', model: 'DenseAlgorithm') -> dict[str, Tensor]:
        """Returns `loss_gram`.

        Raises:
            UserError: The method does not return the `map` of its student.
        """
        if 'map' not in step.student:
            raise UserError(
                f'GramAnchoring: {type(model).__name__} does not return the backbone features of whole views (`map`); '
                'remove the term (config key model.terms).'
            )
        views = step.stacked(model.flow.student)
        student, target = step.student['map'], self.target(views, model.dense_size(views.shape[-2:]))
        with torch.autocast(views.device.type, enabled=False):
            student, target = (F.normalize(features.float(), dim=2) for features in (student, target))
            difference = student @ student.transpose(1, 2) - target @ target.transpose(1, 2)
        return dict(loss_gram=self.weight * difference.square().mean())

    @torch.no_grad()
    def target(self, views: Tensor, grid: tuple[int, int]) -> Tensor:
        """Returns the Gram teacher's features of views (N, 3, H, W) at the positions of a grid (h, w), (N, P, C)."""
        if self.scale > 1:
            views = F.interpolate(views, scale_factor=self.scale, mode='bicubic', align_corners=False)
        features = dense_map(self.backbone, views, layer=getattr(self.backbone, 'res_layers', [None])[-1])
        if features.shape[-2:] != grid:
            features = F.interpolate(features.float(), grid, mode='bicubic', align_corners=False)
        return features.flatten(2).transpose(1, 2)
