"""SoCo on a feature pyramid, with three views and each proposal on the level of its size."""

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
    """Regions of a view with their pyramid levels.

    Attributes:
        boxes: x1, y1, x2, y2 as fractions of the view, in [0, 1], (B, K, 4).
        ids: Index of the proposal that a box shows, (B, K).
        levels: Level of each box, (B, K): 0 for the finest, -1 for no level.
    """

    boxes: Tensor
    ids: Tensor
    levels: Tensor


@MODELS.register_module()
class SoCoFPN(DenseAlgorithm):
    """Selective object contrast with scale-aware levels: L_base = L_12 + L_21 + L_13 + L_31.

    View 0 is the whole image, view 1 a crop of the same size, view 2 a crop of half the size; view 0 has a separate set
    of proposals for each of the two crops. A proposal is used if it has a level in both views. The loss of a pair is
    that of `SoCo`. The paper defines no de-coupled form, so that a branch is rejected.

    Args:
        predictor: Config of the predictor, a neck that only the student has.
        **kwargs: Arguments of `DenseAlgorithm`; `neck` is a `RegionPyramid` on all four stages of the backbone.

    Raises:
        SettingError: The neck is of another class, or a branch is configured.

    Source: arXiv 2106.02637; `hologerry/SoCo contrast/models/SoCo_FPN.py`.
    """

    flow = ViewFlow(student=(0, 1, 2), teacher=(0, 1, 2), shuffle=False, on_regions=True)

    def __init__(self, predictor: dict, **kwargs) -> None:
        Settings(self, 'model').block('predictor', predictor)
        super().__init__(predictor=predictor, **kwargs)
        self._require('neck', 'a RegionPyramid', 'levels')

    def prepare(self, step: Step, generator: torch.Generator) -> list[PlacedRegions]:
        """Returns the regions of the three views; view 0 has those of both pairs, one after the other, (B, 2 * K)."""
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
        """Returns the projections of the regions of one view, (B, K, C)."""
        return neck(backbone(images), regions.boxes, regions.levels)

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Returns `dense`, the projections of the proposals of all views, one view after the other, (B, 4 * K, C)."""
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
        """Returns `dense`, the predictions of the proposals of all views, one view after the other, (B, 4 * K, C)."""
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
        """Returns `loss_12`, `loss_21`, `loss_13` and `loss_31`."""
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
