"""SoCo: similarity of the features of the same object proposal in two views."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.decoupling.regions import pool_regions
from mmdecouple.models.backbones import split_last_stage
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .step import Step, ViewFlow


@MODELS.register_module()
class SoCo(DenseAlgorithm):
    """Selective object contrast on a C4 backbone: L_base = L_12 + L_21.

    Each proposal is pooled from the output of conv4 by RoIAlign and passes through conv5, the projector and, for the
    student, the predictor. L_ab = -2 mean_n [sum_ij C_ij <p_i, z_j> / sum_ij C_ij], where p are the normalized
    predictions of view a, z the teacher's normalized projections of view b, and C_ij is 1 if boxes i and j show the
    same proposal and 0 otherwise.

    View 0 is the whole image without cuts, view 1 is a crop. Decoupled views are composed from view 0, with masks on
    its proposals. The student pools each proposal over its uncut part, the teacher over the whole proposal (the paper's
    eq. 17).

    Args:
        predictor: Config of the predictor, a neck that only the student has.
        roi_size: Side of the pooled map of a proposal before the last stage, in bins, at least 1.
        **kwargs: Arguments of `DenseAlgorithm`; `neck` is the projector.

    Raises:
        SettingError: A value is out of range.

    Source: arXiv 2106.02637; `hologerry/SoCo contrast/models/SoCo_C4.py`. As there, each view has its own pass, so that
        batch norm sees one view at a time; decoupled views join the pass of view 0.
    """

    flow = ViewFlow(student=(0, 1), teacher=(0, 1), decoupled=1, shuffle=False, on_regions=True)

    def __init__(self, predictor: dict, roi_size: int = 14, **kwargs) -> None:
        check = Settings(self, 'model')
        check.block('predictor', predictor)
        check.number('roi_size', roi_size, 1, whole=True)
        super().__init__(predictor=predictor, **kwargs)
        self.roi_size = roi_size
        self.region_bins = -(-roi_size // self.backbone.strides[-1])

    def encode(
        self, backbone: nn.Module, neck: nn.Module, images: Tensor, boxes: Tensor, coverage: Tensor | None = None
    ) -> Tensor:
        """Returns the projections of proposals, float32 (N, K, C).

        Args:
            backbone: A ResNet of mmpretrain.
            neck: Projector.
            images: Normalized views, (N, 3, H, W).
            boxes: Proposals as fractions of the view, in [0, 1], (N, K, 4).
            coverage: Weights of the bins of the proposals of the *last* D views, in [0, 1], (D, K, bins, bins): the
                fraction of each bin that a cut mask leaves uncut. None weights all bins equally.
        """
        maps, last_stage = split_last_stage(backbone, images)
        features = last_stage(pool_regions(maps, boxes, self.roi_size).to(maps.dtype))
        weight = features.new_ones(*boxes.shape[:2], *features.shape[2:])
        if coverage is not None:
            weight[-len(coverage) :] = coverage
        weight = weight.flatten(0, 1)[:, None]
        pooled = (features * weight).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1e-6)
        (projection,) = neck((pooled,))
        return projection.float().unflatten(0, boxes.shape[:2])

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Returns `dense`, the projections of the proposals of both views, (2 * B, K, C), from one pass each."""
        network = self.teacher
        return {
            'dense': torch.cat(
                [
                    self.encode(network.backbone, network.neck, view, regions.boxes)
                    for view, regions in zip(step.views, step.regions)
                ]
            )
        }

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], Tensor | None]:
        """Returns the predictions of both views, `dense` (2 * B, K, C), and of the decoupled views, (D, K, C) or None.

        Each view has its own pass; decoupled views join the pass of view 0.
        """
        boxes, coverage = step.regions[0].boxes, None
        if step.decoupled is not None:
            boxes, coverage = torch.cat([boxes, boxes[step.decoupled.rows]]), step.decoupled.coverage
        joint = self.predict(self.encode(self.backbone, self.neck, step.joint((0,)), boxes, coverage))
        first, dense = step.split({'dense': joint})
        second = self.predict(self.encode(self.backbone, self.neck, step.views[1], step.regions[1].boxes))
        return {'dense': torch.cat([first['dense'], second])}, dense

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_12` and `loss_21`."""
        first, second = (regions.ids for regions in step.regions)
        same = (first[:, :, None] == second[:, None]).float()
        predictions, projections = step.student['dense'].chunk(2), step.teacher['dense'].chunk(2)
        return dict(
            loss_12=pair_loss(predictions[0], projections[1], same),
            loss_21=pair_loss(predictions[1], projections[0], same.transpose(1, 2)),
        )

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns -4 <p, z> of matched proposals: (M, C), (M, C) -> (M,).

        This is twice the term of SoCo, because L_base is a sum of two terms.
        """
        return -4 * F.cosine_similarity(student, target, dim=1)


def pair_loss(prediction: Tensor, projection: Tensor, same: Tensor) -> Tensor:
    """Returns -2 mean_n [sum_ij C_ij <p_i, z_j> / (sum_ij C_ij + 1e-6)].

    Args:
        prediction: Predictions p of one view, (B, K, C).
        projection: The teacher's projections z of the other view, (B, K, C).
        same: C_ij, 1 where box i of the first and box j of the second view show the same proposal, (B, K, K).

    Returns:
        Scalar loss.
    """
    similarity = F.normalize(prediction, dim=2) @ F.normalize(projection, dim=2).transpose(1, 2)
    return -2 * ((similarity * same).sum((1, 2)) / (same.sum((1, 2)) + 1e-6)).mean()
