"""SoCo: pull the features of one object proposal in two views together."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from ..backbones import split_last_stage
from ..decoupling import DecoupledViews
from ..regions import Regions, pool_regions, regions_of, uncut_share
from .base import DenseAlgorithm


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

    student_views = (0, 1)
    key_views = (0, 1)
    decoupled_views = 1
    shuffle = False

    def __init__(self, predictor: dict, roi_size: int = 14, **kwargs) -> None:
        check = Settings(self, 'model')
        check.block('predictor', predictor)
        check.number('roi_size', roi_size, 1, whole=True)
        super().__init__(**kwargs)
        self.predictor = MODELS.build(predictor)
        self.roi_size = roi_size

    def draw(self, batch: dict, generator: torch.Generator) -> list[Regions]:
        """Regions of both views: drawn by the data."""
        device = batch['inputs'][0].device
        return [regions.to(device) for regions in regions_of(batch['data_samples'], 'SoCo')]

    def regions(self, batch: dict) -> Regions:
        """Regions of the view that gets decoupled."""
        return regions_of(batch['data_samples'], 'SoCo')[0]

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor, boxes: Tensor,
               cut_mask: Tensor | None = None) -> Tensor:
        """Projections of proposals, (N, K, C).

        Args:
            backbone: A ResNet.
            neck: Projector.
            images: Views, (N, 3, H, W).
            boxes: Proposals in [0, 1], (N, K, 4).
            cut_mask: Cut masks of the *last* views, (D, h, w): their proposals are pooled over what is left.
        """
        maps, last_stage = split_last_stage(backbone, images)
        features = last_stage(pool_regions(maps, boxes, self.roi_size).to(maps.dtype))
        weight = features.new_ones(*boxes.shape[:2], *features.shape[2:])
        if cut_mask is not None:
            weight[-len(cut_mask):] = uncut_share(cut_mask, boxes[-len(cut_mask):], features.shape[2])
        weight = weight.flatten(0, 1)[:, None]
        pooled = (features * weight).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1e-6)
        projection, = neck((pooled, ))
        return projection.float().unflatten(0, boxes.shape[:2])

    @torch.no_grad()
    def teach(self, views: list[Tensor], drawn: list[Regions]) -> dict[str, Tensor]:
        """`dense`: projections of the proposals of both views, (2 * B, K, C)."""
        network = self.teacher
        return {'dense': torch.cat([self.encode(network.backbone, network.neck, view, regions.boxes)
                                    for view, regions in zip(views, drawn)])}

    def learn(self, views: list[Tensor], decoupled: DecoupledViews | None, teacher: dict[str, Tensor],
              drawn: list[Regions]) -> tuple[dict, Tensor | None]:
        """Predictions of both views, one pass each; decoupled views join the first."""
        images, boxes, cut_mask = views[0], drawn[0].boxes, None
        if decoupled is not None:
            images = torch.cat([images, decoupled.images])
            boxes, cut_mask = torch.cat([boxes, boxes[decoupled.rows]]), decoupled.cut_mask
        first = self._predict(images, boxes, cut_mask)
        predictions = [first[:len(views[0])], self._predict(views[1], drawn[1].boxes)]
        return {'predictions': predictions, 'ids': [regions.ids for regions in drawn]}, first[len(views[0]):]

    def base_loss(self, student: dict, teacher: dict[str, Tensor]) -> dict[str, Tensor]:
        """`loss_12` and `loss_21`."""
        projections = teacher['dense'].chunk(2)
        same = (student['ids'][0][:, :, None] == student['ids'][1][:, None]).float()
        return dict(loss_12=pair_loss(student['predictions'][0], projections[1], same),
                    loss_21=pair_loss(student['predictions'][1], projections[0], same.transpose(1, 2)))

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """-4 <p, z> of matched proposals: twice SoCo's term, as L_base is a sum of two: (M, C), (M, C) -> (M,)."""
        return -4 * F.cosine_similarity(student, target, dim=1)

    def _predict(self, images: Tensor, boxes: Tensor, cut_mask: Tensor | None = None) -> Tensor:
        projection = self.encode(self.backbone, self.neck, images, boxes, cut_mask)
        prediction, = self.predictor((projection.flatten(0, 1), ))
        return prediction.float().unflatten(0, boxes.shape[:2])


def pair_loss(prediction: Tensor, projection: Tensor, same: Tensor) -> Tensor:
    """-2 mean_n [sum_ij C_ij <p_i, z_j> / (sum_ij C_ij + 1e-6)]: (B, K, C), (B, K, C), (B, K, K) -> ()."""
    similarity = F.normalize(prediction, dim=2) @ F.normalize(projection, dim=2).transpose(1, 2)
    return -2 * ((similarity * same).sum((1, 2)) / (same.sum((1, 2)) + 1e-6)).mean()
