"""Base class of methods that compare dense features of a teacher's and a student's view where the views overlap."""

import torch
from torch import Tensor, nn

from mmdecouple.models.overlap import align, common_window
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .step import Step


class OverlapAlgorithm(DenseAlgorithm):
    """Compares patches on overlaps: L_base is the mean of L_vj over pairs of a student view v and another key view j.

    On the overlap of the windows of both views, the student's and the teacher's features are resampled to a common grid
    by RoIAlign. L_vj is the mean loss of its bins over all images whose views overlap.

    Args:
        local_views: Number L of views of another size, after those of `flow`; for the student only.
        roi_size: Side of the common grid in bins, at least 1.
        measured: See `DenseAlgorithm`.
        **kwargs: Arguments of `DenseAlgorithm`; the backbone is a `DenseViT`.

    Raises:
        SettingError: A value is out of range, or the backbone is of another class.
    """

    def __init__(self, local_views: int = 4, roi_size: int = 7, measured: str = 'student', **kwargs) -> None:
        check = Settings(self, 'model')
        check.number('local_views', local_views, 0, whole=True)
        check.number('roi_size', roi_size, 1, whole=True)
        super().__init__(measured=measured, **kwargs)
        self._require('backbone', 'a DenseViT', 'class_attention')
        self.local_views = local_views
        self.roi_size = roi_size

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Returns `dense`: the outputs of the neck for the patch tokens after the final norm, (N, P, C).

        While a term reads it, `map` are these tokens.
        """
        tokens = backbone(images)[0][:, backbone.num_extra_tokens :]
        return {'dense': neck(tokens).float(), **(dict(map=tokens) if self.terms.read_map else {})}

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """Runs the student once on the views of `flow` and decoupled views, and once on the local views.

        Returns:
            `dense` (S * B, P, C), `map` of the same size while a term reads it and, with local views, `local`
            (L * B, P', C), and `dense` of the decoupled views, (D, P, C), or None.
        """
        student, dense = super().student_forward(step)
        if self.local_views:
            local = torch.cat(step.views[-self.local_views :])
            student['local'] = self.encode(self.backbone, self.neck, local)['dense']
        return student, dense

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_overlap`."""
        views = [*self.flow.student, *range(self.num_views - self.local_views, self.num_views)]
        rows = [step.student[name] for name in ('dense', 'local') if name in step.student]
        student = dict(zip(views, [part for each in rows for part in each.split(len(step.views[0]))]))
        teacher = dict(zip(self.flow.teacher, step.teacher['dense'].chunk(len(self.flow.teacher))))
        losses = []
        for key, target in teacher.items():
            for view in (view for view in views if view != key):
                window, shown = common_window(step.geometry[view], step.geometry[key])
                bins, targets = self._bins(student[view], view, window, step), self._bins(target, key, window, step)
                weight = shown[:, None].float()
                loss = self.bins_loss(bins, targets, step, key) * weight
                losses.append(loss.sum() / (weight.sum() * bins.shape[1]).clamp(min=1))
        return dict(loss_overlap=sum(losses) / len(losses))

    def bins_loss(self, student: Tensor, teacher: Tensor, step: Step, key: int) -> Tensor:
        """Returns the loss of each bin.

        Args:
            student: The student's features of the bins that a view shares with the key view, (B, K, C).
            teacher: The teacher's features of the same bins, (B, K, C).
            step: The step.
            key: Index of the key view.

        Returns:
            One loss for each bin, (B, K).
        """
        raise NotImplementedError

    def _bins(self, features: Tensor, view: int, window: Tensor, step: Step) -> Tensor:
        grid = self.dense_size(step.views[view].shape[-2:])
        maps = features.transpose(1, 2).unflatten(2, grid)
        return align(maps, window, step.geometry[view], self.roi_size).flatten(2).transpose(1, 2)
