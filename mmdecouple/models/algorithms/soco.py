"""SoCo: pull the features of one object proposal in two views together."""

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

    Each proposal is cut out of conv4's map by RoIAlign and goes through conv5, projector and, for the student,
    predictor. L_ab = -2 mean_n [sum_ij C_ij <p_i, z_j> / sum_ij C_ij], p the normalized predictions of view a, z the
    teacher's normalized projections of view b, C_ij whether boxes i and j show the same proposal.

    View 0 is whole and uncut, view 1 is a crop. Decoupled views are made of view 0, with masks on its proposals; the
    student pools each proposal over what is left of it, the teacher over all of it (the paper's eq. 17).

    Args:
        predictor: Config of the predictor, a neck that the teacher has not.
        roi_size: Side of a proposal's map before the last stage.
        **kwargs: As for `DenseAlgorithm`; `neck` is the projector.

    Raises:
        ValueError: For samples without boxes.

    Source: arXiv 2106.02637; `hologerry/SoCo contrast/models/SoCo_C4.py`. Its symmetric passes are kept apart, as batch
        norm sees one view at a time there; decoupled views join the pass of view 0.
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
        """Projections of proposals, (N, K, C).

        Args:
            backbone: A ResNet.
            neck: Projector.
            images: Views, (N, 3, H, W).
            boxes: Proposals in [0, 1], (N, K, 4).
            coverage: Weights of the bins of the proposals of the *last* views, (D, K, bins, bins): what a cut mask
                leaves of them.
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
        """`dense`: projections of the proposals of both views, (2 * B, K, C), one pass each."""
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
        """`dense`: predictions of both views, (2 * B, K, C), one pass each; decoupled views join the first."""
        boxes, coverage = step.regions[0].boxes, None
        if step.decoupled is not None:
            boxes, coverage = torch.cat([boxes, boxes[step.decoupled.rows]]), step.decoupled.coverage
        joint = self.predict(self.encode(self.backbone, self.neck, step.joint((0,)), boxes, coverage))
        first, dense = step.split({'dense': joint})
        second = self.predict(self.encode(self.backbone, self.neck, step.views[1], step.regions[1].boxes))
        return {'dense': torch.cat([first['dense'], second])}, dense

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """`loss_12` and `loss_21`."""
        first, second = (regions.ids for regions in step.regions)
        same = (first[:, :, None] == second[:, None]).float()
        predictions, projections = step.student['dense'].chunk(2), step.teacher['dense'].chunk(2)
        return dict(
            loss_12=pair_loss(predictions[0], projections[1], same),
            loss_21=pair_loss(predictions[1], projections[0], same.transpose(1, 2)),
        )

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """-4 <p, z> of matched proposals: twice SoCo's term, as L_base is a sum of two: (M, C), (M, C) -> (M,)."""
        return -4 * F.cosine_similarity(student, target, dim=1)


def pair_loss(prediction: Tensor, projection: Tensor, same: Tensor) -> Tensor:
    """-2 mean_n [sum_ij C_ij <p_i, z_j> / (sum_ij C_ij + 1e-6)]: (B, K, C), (B, K, C), (B, K, K) -> ()."""
    similarity = F.normalize(prediction, dim=2) @ F.normalize(projection, dim=2).transpose(1, 2)
    return -2 * ((similarity * same).sum((1, 2)) / (same.sum((1, 2)) + 1e-6)).mean()
