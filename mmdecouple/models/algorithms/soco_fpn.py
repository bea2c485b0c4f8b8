"""SoCo on a feature pyramid: three views, each proposal on the level of its size."""
import torch
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from ..regions import Regions, regions_of
from .base import DenseAlgorithm
from .soco import pair_loss


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

    student_views = (0, 1, 2)
    key_views = (0, 1, 2)
    shuffle = False

    def __init__(self, predictor: dict, **kwargs) -> None:
        Settings(self, 'model').block('predictor', predictor)
        super().__init__(**kwargs)
        self._needs('neck', 'a RegionPyramid', 'levels')
        self.predictor = MODELS.build(predictor)

    def draw(self, batch: dict, generator: torch.Generator) -> list[Regions]:
        """Regions of the three views: view 0 has those of both pairs, one after the other, (B, 2 * K)."""
        pairs = regions_of(batch['data_samples'], 'SoCoFPN')
        if pairs[0].boxes.ndim != 4:
            raise UserError('SoCoFPN: the samples have boxes of one pair of views; use BoxViews with '
                            'pairs=[(0, 1), (0, 2)].')
        first, second = zip(*(zip(*(part.unbind(1) for part in pair)) for pair in pairs))
        whole = Regions(*(torch.cat(parts, dim=1) for parts in zip(*first)))
        device = batch['inputs'][0].device
        return [regions.to(device) for regions in (whole, *(Regions(*side) for side in second))]

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor, boxes: Tensor) -> Tensor:
        """Projections of proposals, (N, K, C)."""
        return neck(backbone(images), boxes, neck.levels(boxes, images.shape[-2:]))

    @torch.no_grad()
    def teach(self, views: list[Tensor], drawn: list[Regions]) -> list[Tensor]:
        """Projections of the proposals of each view."""
        network = self.teacher
        return [self.encode(network.backbone, network.neck, view, regions.boxes)
                for view, regions in zip(views, drawn)]

    def learn(self, views: list[Tensor], decoupled: None, teacher: list[Tensor],
              drawn: list[Regions]) -> tuple[dict, None]:
        """Predictions of the proposals of each view."""
        predictions = []
        for view, regions in zip(views, drawn):
            projection = self.encode(self.backbone, self.neck, view, regions.boxes)
            prediction, = self.predictor((projection.flatten(0, 1), ))
            predictions.append(prediction.float().unflatten(0, regions.boxes.shape[:2]))
        placed = [self.neck.levels(regions.boxes, view.shape[-2:]) >= 0 for view, regions in zip(views, drawn)]
        return {'predictions': predictions, 'ids': [regions.ids for regions in drawn], 'placed': placed}, None

    def base_loss(self, student: dict, teacher: list[Tensor]) -> dict[str, Tensor]:
        """`loss_12`, `loss_21`, `loss_13` and `loss_31`."""
        losses, halves = {}, [{key: values[0].chunk(2, dim=1)[pair] for key, values in student.items()}
                              for pair in range(2)]
        for pair, half in enumerate(halves):
            other = {key: values[pair + 1] for key, values in student.items()}
            same = (half['ids'][:, :, None] == other['ids'][:, None]).float()
            same = same * half['placed'][:, :, None] * other['placed'][:, None]
            name = str(pair + 2)
            losses[f'loss_1{name}'] = pair_loss(half['predictions'], teacher[pair + 1], same)
            losses[f'loss_{name}1'] = pair_loss(other['predictions'], teacher[0].chunk(2, dim=1)[pair],
                                                same.transpose(1, 2))
        return losses
