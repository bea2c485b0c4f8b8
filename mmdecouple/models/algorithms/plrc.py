"""PLRC: contrast of points of regions, and distillation of affinities between points."""

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

    View 0 is the query, view 1 the key, and view 2 a second crop that overlaps with the query. `L_image` contrasts the
    mean point projections of query and key against a queue. `L_point` contrasts the query's points of one region with
    the teacher's points of the same region, of other regions and of other images; regions are the cells of a grid on
    the source image. `L_affinity` trains each point of the query to predict the teacher's output at the same place of
    view 2: its similarity to each point of the key, and its prototype logits.

    Args:
        queue_length: Number of keys Q in the queue, at least 1.
        channels: Channels C of the point projection, at least 1.
        temperature: Temperature of both contrasts, above 0.
        region_grid: Number of regions along each side of the source image, at least 1.
        point_grid: Number of points s along each side of a view, at least `region_grid`.
        points: Number of points of the region in each view, in [1, s * s].
        negatives: Number of the key's points of other regions, as a multiple of `points`, at least 0.
        loss_weights: w_1, w_2 and w_3, above 0.
        affinity: Settings of `PointAffinity`; None for its defaults.
        **kwargs: Arguments of `DenseAlgorithm`; `neck` is a `PointHead`.

    Raises:
        SettingError: A value is out of range, or the neck is of another class.

    Source: arXiv 2202.04639; `facebookresearch/PLRC` for the constants. The differences are listed in
        docs/region_methods.md.
    """

    flow = ViewFlow(student=(0,), teacher=(1, 2), decoupled=1, on_geometry=True, returns_map=True)

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
        self._require('neck', 'a PointHead', 'prototypes')
        self.queue = NegativeQueue(queue_length, channels)
        self.temperature = temperature
        self.region_grid, self.point_grid, self.points, self.negatives = region_grid, point_grid, points, negatives
        sizes = dict(points=point_grid**2, prototypes=self.neck.prototypes)
        self.affinity = MODELS.build({'type': 'PointAffinity', **(affinity or {}), **sizes})

    def prepare(self, step: Step, generator: torch.Generator) -> tuple[RegionPoints, Tensor, PointPairs]:
        """Returns the drawn points, the interpolation weights (N, P), and the pairs of the query and view 2."""
        geometry, view, side = step.samples.geometry(type(self).__name__), step.views[0].shape[-2:], self.point_grid
        labels = (region_labels(geometry[index], view, side, self.region_grid) for index in (0, 1))
        drawn = draw_points(*labels, self.points, self.negatives * self.points, self.region_grid**2, generator)
        weights = interpolation(*self.dense_size(view), side, step.views[0])
        pairs = PointPairs.between(step.geometry[0], step.geometry[2], view, side, self.affinity.reach)
        return drawn.to(step.views[0].device), weights, pairs

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Returns the projections `dense`, (N, P, C); their mean `global`, (N, C); the features `map`, (N, P, C_b)."""
        features = backbone(images)[-1].flatten(2).transpose(1, 2)
        dense = neck(features)
        return {'dense': dense, 'global': F.normalize(dense.mean(1), dim=1), 'map': features}

    @torch.no_grad()
    def teacher_forward(self, step: Step) -> dict[str, Tensor]:
        """Returns `dense`, `global`, `points` of the key, (B, N, C_e), and the logits of view 2, (B, P, N + K)."""
        outputs = super().teacher_forward(step)
        key, other = self.teacher.neck.bottleneck(outputs.pop('map')).chunk(2)
        outputs['points'] = at_points(step.extras[1], key)
        outputs['affinity'] = self.affinity.logits(other, outputs['points'], self.teacher.neck.last_layer)
        return outputs

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_image`, `loss_point` and `loss_affinity`, weighted by w_1, w_2 and w_3."""
        student, (drawn, weights, pairs) = step.student, step.extras
        key, positive = (step.teacher[name].chunk(2)[0] for name in ('dense', 'global'))
        image = info_nce(student['global'], positive, self.queue.keys, self.temperature).mean()
        point = point_contrast(
            F.normalize(at_points(weights[drawn.query], student['dense']), dim=2),
            F.normalize(at_points(weights[drawn.key], key), dim=2),
            drawn.positive,
            self.temperature,
        )
        points, bottleneck = step.teacher['points'], self.neck.bottleneck(student['map'])
        logits = self.affinity.logits(bottleneck, points, self.neck.last_layer)
        affinity = self.affinity(logits, step.teacher['affinity'], weights, pairs)
        of_image, of_point, of_affinity = self.loss_weights
        return dict(loss_image=of_image * image, loss_point=of_point * point, loss_affinity=of_affinity * affinity)

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns InfoNCE of matched positions against mean points of earlier images: (M, C), (M, C) -> (M,)."""
        student, target = F.normalize(student, dim=1), F.normalize(target, dim=1)
        return info_nce(student, target, self.queue.keys, self.temperature)

    def update_memory(self, step: Step) -> None:
        """Enqueues the keys of this step, and updates the center of the affinities."""
        self.queue.enqueue(step.teacher['global'].chunk(2)[0])
        self.affinity.update(step.teacher['affinity'], *step.extras[1:])
