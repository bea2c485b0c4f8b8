"""PixPro: consistency of propagated features with the features of close positions in another view."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.models.close_pairs import close_pairs
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .soco import pair_loss
from .step import Step, ViewFlow


@MODELS.register_module()
class PixPro(DenseAlgorithm):
    """Pixel-to-propagation consistency: L_base = L_12 + L_21 (+ w L_instance).

    L_ab = -2 mean_n [sum_ij A_ij cos(y_i, x'_j) / sum_ij A_ij], where y are the student's propagated projections of
    view a, x' the teacher's projections of view b, and A_ij is 1 if positions i and j are close in the image
    (`close_pairs`) and 0 otherwise. The instance branch is BYOL's loss of pooled projections, in both directions.

    Args:
        predictor: Config of the propagation module, which only the student has.
        distance_threshold: Positions closer than this, in diagonals of the larger of their two cells, match; above 0.
        instance_predictor: Config of the predictor of the instance branch, a `PixelMLP`; None for no such branch.
            `neck.instance` must agree.
        instance_weight: w, above 0.
        **kwargs: Arguments of `DenseAlgorithm`; `neck` is a `PixelHeads`.

    Raises:
        SettingError: A value is out of range, or one half of the instance branch is missing.

    Source: arXiv 2011.10043; `zdaxie/PixPro contrast/models/PixPro.py` (MIT). As there, each view has a pass of
        its own, so that batch norm sees one view at a time; a decoupled view joins the pass of its own view.
    """

    flow = ViewFlow(student=(0, 1), teacher=(0, 1), shuffle=False, on_geometry=True, returns_map=True)

    def __init__(
        self,
        predictor: dict,
        distance_threshold: float = 0.7,
        instance_predictor: dict | None = None,
        instance_weight: float = 1.0,
        **kwargs,
    ) -> None:
        check = Settings(self, 'model')
        check.block('predictor', predictor)
        check.number('distance_threshold', distance_threshold, above=0)
        check.block('instance_predictor', instance_predictor, optional=True)
        check.number('instance_weight', instance_weight, above=0)
        super().__init__(predictor=predictor, **kwargs)
        self._require('neck', 'a PixelHeads', 'dense')
        if (self.neck.instance is None) != (instance_predictor is None):
            check.refuse('instance_predictor', 'and model.neck.instance must be set together')
        self.instance_predictor = None if instance_predictor is None else MODELS.build(instance_predictor)
        self.distance_threshold = distance_threshold
        self.instance_weight = instance_weight

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Returns projections: `dense` (N, P, C) and, with the instance branch, `instance` (N, C, h, w)."""
        features = backbone(images)[-1]
        outputs = neck(features)
        return {**outputs, 'map': features.flatten(2).transpose(1, 2)} if self.terms.read_map else outputs

    def predict(self, dense: Tensor) -> Tensor:
        """Returns propagated projections: (N, P, C) -> (N, P, C)."""
        return self.predictor(dense)

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Returns the projections of both views, stacked, with one pass per view."""
        network = self.teacher
        passes = [self.encode(network.backbone, network.neck, view) for view in step.views]
        return {name: torch.cat([outputs[name] for outputs in passes]) for name in passes[0]}

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """Returns the predictions of both views, stacked, one pass per view, and `dense` of the decoupled views."""
        mixed = (step.views[0][:0],) * 2 if step.decoupled is None else step.decoupled.images.chunk(2)
        passes = [self._predictions(torch.cat(images)) for images in zip(step.views, mixed, strict=True)]
        size = len(step.views[0])
        student = {name: torch.cat([outputs[name][:size] for outputs in passes]) for name in passes[0]}
        dense = torch.cat([outputs['dense'][size:] for outputs in passes])
        return student, None if step.decoupled is None else dense

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_12`, `loss_21` and, with the instance branch, `loss_instance`."""
        grid = self.dense_size(step.views[0].shape[-2:])
        close = close_pairs(step.geometry, grid, self.distance_threshold)
        student, teacher = step.student, step.teacher
        predictions, projections = student['dense'].chunk(2), teacher['dense'].chunk(2)
        with torch.autocast(close.device.type, enabled=False):
            losses = dict(
                loss_12=pair_loss(predictions[0], projections[1], close),
                loss_21=pair_loss(predictions[1], projections[0], close.transpose(1, 2)),
            )
        if self.instance_predictor is not None:
            target = teacher['instance'].mean((2, 3)).roll(len(step.views[0]), 0)
            cosine = F.cosine_similarity(student['instance'].mean((2, 3)), target)
            losses['loss_instance'] = -4 * self.instance_weight * cosine.mean()
        return losses

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns -4 cos of matched positions, twice PixPro's term as L_base has two: (M, C), (M, C) -> (M,)."""
        return -4 * F.cosine_similarity(student, target, dim=1)

    def _predictions(self, images: Tensor) -> dict[str, Tensor]:
        outputs = self.encode(self.backbone, self.neck, images)
        outputs['dense'] = self.predict(outputs['dense'])
        if self.instance_predictor is not None:
            outputs['instance'] = self.instance_predictor(outputs['instance']).float()
        return outputs
