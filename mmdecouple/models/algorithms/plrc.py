"""PLRC: contrast points of regions, and distill the affinities between points."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.models.layers import NegativeQueue
from mmdecouple.models.losses import info_nce, point_contrast
from mmdecouple.models.point_grid import PointPairs, RegionPoints, at_points, draw_points, interpolation, region_labels
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .step import Step, ViewFlow


@MODELS.register_module()
class PLRC(DenseAlgorithm):
    """Point-level region contrast: L_base = w_1 L_image + w_2 L_point + w_3 L_affinity.

    View 0 is the query, view 1 its key, view 2 a crop that overlaps the query's. `L_image` contrasts the mean point
    projections of query and key against a queue. `L_point` contrasts the query's points of a region with the teacher's
    points of the same region, of other regions and of other images; regions are the cells of a grid on the source
    image. `L_affinity` lets a point of the query predict what the teacher sees at the same place of view 2: how similar
    it is to each point of the key, and its prototypes.

    Args:
        queue_length: Q, keys in the queue.
        channels: C, channels of the point projection.
        temperature: Of both contrasts, above 0.
        region_grid: Regions along each side of the source image.
        point_grid: s, points along each side of a view, at least `region_grid`.
        points: Points of the region in each view, at most s * s.
        negatives: The key has `negatives` times `points` points of other regions, >= 0.
        loss_weights: w_1, w_2 and w_3, above 0.
        affinity: Settings of `PointAffinity`.
        **kwargs: As for `DenseAlgorithm`; `neck` is a `PointHead`.

    Source: arXiv 2202.04639; `facebookresearch/PLRC` for the constants. docs/region_methods.md has the differences.
    """

    flow = ViewFlow(student=(0,), teacher=(1, 2), decoupled=1, on_geometry=True)

    def __init__(
        self,
        queue_length: int = 65536,
        channels: int = 128,
        temperature: float = 0.2,
        region_grid: int = 4,
        point_grid: int = 56,
        points: int = 16,
        negatives: int = 15,
        loss_weights: tuple[float, float, float] = (0.7, 0.3, 0.3),
        affinity: dict | None = None,
        **kwargs,
    ) -> None:
        check = Settings(self, 'model')
        check.number('queue_length', queue_length, 1, whole=True)
        check.number('channels', channels, 1, whole=True)
        check.number('temperature', temperature, above=0)
        check.number('region_grid', region_grid, 1, whole=True)
        check.number('point_grid', point_grid, region_grid, whole=True)
        check.number('points', points, 1, point_grid**2, whole=True)
        check.number('negatives', negatives, 0, whole=True)
        self.loss_weights = check.numbers('loss_weights', loss_weights, 3, above=0)
        check.block('affinity', affinity, optional=True, typed=False)
        super().__init__(**kwargs)
        self._needs('neck', 'a PointHead', 'prototypes')
        self.queue = NegativeQueue(queue_length, channels)
        self.temperature = temperature
        self.region_grid, self.point_grid, self.points, self.negatives = region_grid, point_grid, points, negatives
        sizes = dict(points=point_grid**2, prototypes=self.neck.prototypes)
        self.affinity = MODELS.build({'type': 'PointAffinity', **(affinity or {}), **sizes})

    def prepare(self, step: Step, generator: torch.Generator) -> RegionPoints:
        """Draw the points."""
        geometry, view = step.samples.geometry(type(self).__name__), step.views[0].shape[-2:]
        labels = (region_labels(geometry[index], view, self.point_grid, self.region_grid) for index in (0, 1))
        drawn = draw_points(*labels, self.points, self.negatives * self.points, self.region_grid**2, generator)
        return drawn.to(step.views[0].device)

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """`dense`: point projections (N, P, C); `global`: their mean, normalized (N, C); `map` (N, P, C_b)."""
        features = backbone(images)[-1].flatten(2).transpose(1, 2)
        dense = neck(features)
        return {'dense': dense, 'global': F.normalize(dense.mean(1), dim=1), 'map': features}

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Outputs of `encode` for both views, with the `bottleneck` (2 * B, P, C_e) in place of the map."""
        outputs = super().teacher_forward(step)
        outputs['bottleneck'] = self.teacher.neck.bottleneck(outputs.pop('map'))
        return outputs

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """`loss_image`, `loss_point` and `loss_affinity`, weighted."""
        student, drawn, (teacher, points, weights, pairs) = step.student, step.extras, self._affinities(step)
        key, positive = (step.teacher[name].chunk(2)[0] for name in ('dense', 'global'))
        image = info_nce(student['global'], positive, self.queue.keys, self.temperature).mean()
        point = point_contrast(
            F.normalize(at_points(weights[drawn.query], student['dense']), dim=2),
            F.normalize(at_points(weights[drawn.key], key), dim=2),
            drawn.positive,
            self.temperature,
        )
        logits = self.affinity.logits(self.neck.bottleneck(student['map']), points, self.neck.last_layer)
        affinity = self.affinity(logits, teacher, weights, pairs)
        of_image, of_point, of_affinity = self.loss_weights
        return dict(loss_image=of_image * image, loss_point=of_point * point, loss_affinity=of_affinity * affinity)

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """InfoNCE of matched positions against the mean points of earlier images: (M, C), (M, C) -> (M,)."""
        student, target = F.normalize(student, dim=1), F.normalize(target, dim=1)
        return info_nce(student, target, self.queue.keys, self.temperature)

    def update_memory(self, step: Step) -> None:
        """Enqueue this step's keys, and move the center."""
        self.queue.enqueue(step.teacher['global'].chunk(2)[0])
        teacher, _, weights, pairs = self._affinities(step)
        self.affinity.update(teacher, weights, pairs)

    @torch.no_grad()
    def _affinities(self, step: Step) -> tuple[Tensor, Tensor, Tensor, PointPairs]:
        """The teacher's logits of view 2 and points of the key, the weights of points, and the pairs of points."""
        view = step.views[0].shape[-2:]
        key, other = step.teacher['bottleneck'].chunk(2)
        weights = interpolation(*self.dense_size(view), self.point_grid, key)
        points, (own, _, shared) = at_points(weights, key), step.geometry
        pairs = PointPairs.between(own, shared, view, self.point_grid, self.affinity.reach)
        return self.affinity.logits(other, points, self.teacher.neck.last_layer), points, weights, pairs
