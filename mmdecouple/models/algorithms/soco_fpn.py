"""SoCo on a feature pyramid: three views, each proposal on the level of its size."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .soco import pair_loss
from .step import Step, ViewFlow


class PlacedRegions(NamedTuple):
    """Regions of a view, each on a level of the pyramid.

    Attributes:
        boxes: In [0, 1] of the view, (B, K, 4).
        ids: Number of the proposal that a box shows, (B, K).
        levels: Level of each box, 0 the finest, -1 for none, (B, K).
    """

    boxes: Tensor
    ids: Tensor
    levels: Tensor


@MODELS.register_module()
class SoCoFPN(DenseAlgorithm):
    """Selective object contrast with scale-aware levels: L_base = L_12 + L_21 + L_13 + L_31.

    View 0 is whole, view 1 a crop of the same size, view 2 a crop of half the size; view 0 has one set of proposals
    with each of the others. A box counts where both views give it a level. The loss of a pair is `SoCo`'s.

    Args:
        predictor: Config of the predictor, a neck that the teacher has not.
        **kwargs: As for `DenseAlgorithm`; `neck` is a `RegionPyramid` on all four stages of the backbone.

    Raises:
        ValueError: For samples without boxes of two pairs. The paper has no de-coupled form of it, so a branch is
            refused.

    Source: arXiv 2106.02637; `hologerry/SoCo contrast/models/SoCo_FPN.py`.
    """

    flow = ViewFlow(student=(0, 1, 2), teacher=(0, 1, 2), shuffle=False, on_regions=True)

    def __init__(self, predictor: dict, **kwargs) -> None:
        Settings(self, 'model').block('predictor', predictor)
        super().__init__(predictor=predictor, **kwargs)
        self._needs('neck', 'a RegionPyramid', 'levels')

    def prepare(self, step: Step, generator: torch.Generator) -> list[PlacedRegions]:
        """Regions of the three views: view 0 has those of both pairs, one after the other, (B, 2 * K)."""
        pairs = step.regions
        if pairs[0].boxes.ndim != 4:
            raise UserError(
                'SoCoFPN: the samples have boxes of one pair of views; use BoxViews with pairs=[(0, 1), (0, 2)].'
            )
        first, second = zip(*(zip(*(part.unbind(1) for part in pair)) for pair in pairs))
        whole = [torch.cat(parts, dim=1) for parts in zip(*first)]
        return [
            PlacedRegions(boxes, ids, self.neck.levels(boxes, view.shape[-2:]))
            for view, (boxes, ids) in zip(step.views, (whole, *second))
        ]

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor, regions: PlacedRegions) -> Tensor:
        """Projections of the regions of one view, (B, K, C)."""
        return neck(backbone(images), regions.boxes, regions.levels)

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """`dense`: projections of the proposals of all views, one view after the other, (B, 4 * K, C)."""
        network = self.teacher
        return {
            'dense': torch.cat(
                [
                    self.encode(network.backbone, network.neck, view, regions)
                    for view, regions in zip(step.views, step.extras)
                ],
                dim=1,
            )
        }

    def student_forward(self, step: Step) -> tuple[dict[str, Tensor], None]:
        """`dense`: predictions of the proposals of all views, as the teacher's."""
        return {
            'dense': torch.cat(
                [
                    self.predict(self.encode(self.backbone, self.neck, view, regions))
                    for view, regions in zip(step.views, step.extras)
                ],
                dim=1,
            )
        }, None

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """`loss_12`, `loss_21`, `loss_13` and `loss_31`."""
        predictions, projections, ids, placed = (
            parts.chunk(4, dim=1)
            for parts in (
                step.student['dense'],
                step.teacher['dense'],
                torch.cat([regions.ids for regions in step.extras], dim=1),
                torch.cat([regions.levels for regions in step.extras], dim=1) >= 0,
            )
        )
        losses = {}
        for own, other, name in ((0, 2, '2'), (1, 3, '3')):
            same = (ids[own][:, :, None] == ids[other][:, None]).float()
            same = same * placed[own][:, :, None] * placed[other][:, None]
            losses[f'loss_1{name}'] = pair_loss(predictions[own], projections[other], same)
            losses[f'loss_{name}1'] = pair_loss(predictions[other], projections[own], same.transpose(1, 2))
        return losses
