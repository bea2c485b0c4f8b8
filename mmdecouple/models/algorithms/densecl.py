"""DenseCL: contrast matched positions of two views, beside the pooled views."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from ..decoupling import DecoupledViews
from ..layers import NegativeQueue
from ..losses import info_nce
from ..ranked_match import RankedMatch
from .base import DenseAlgorithm


@MODELS.register_module()
class DenseCL(DenseAlgorithm):
    """Dense contrastive learning: L_base = (1 - w) L_global + w L_dense.

    Each position of the query view is matched with the most similar position of the key view by the backbone's
    features; the dense negatives are the pooled dense keys of earlier images. The paper's eq. 8 writes the match
    on the projections; this follows the authors' code (backbone features).

    Args:
        queue_length: Q, keys in each of the two queues.
        channels: C, channels of the projections.
        temperature: Of both InfoNCE terms, above 0.
        dense_weight: w, in [0, 1].
        match_rank: n: each position is matched with its n-th most similar position instead; 1 is the method. `random`
            matches it with any position. For the paper's study of misalignment (Fig. 9, "S-T/@n").
        **kwargs: As for `DenseAlgorithm`; `neck` is mmpretrain's `DenseCLNeck`. With its `num_grid` the backbone's
            map is pooled to the same grid before matching.

    Source: arXiv 2011.09157; mmpretrain `models/selfsup/densecl.py` (Apache-2.0).
    """

    def __init__(self, queue_length: int = 65536, channels: int = 128, temperature: float = 0.2,
                 dense_weight: float = 0.5, match_rank: int | str = 1, **kwargs) -> None:
        check = Settings(self, 'model')
        check.number('queue_length', queue_length, 1, whole=True)
        check.number('channels', channels, 1, whole=True)
        check.number('temperature', temperature, above=0)
        check.number('dense_weight', dense_weight, 0, 1)
        super().__init__(**kwargs)
        self._needs('neck', "mmpretrain's DenseCLNeck", 'with_pool')
        self.queue = NegativeQueue(queue_length, channels)
        self.dense_queue = NegativeQueue(queue_length, channels)
        self.temperature = temperature
        self.dense_weight = dense_weight
        self.match = RankedMatch(match_rank, 'DenseCL', 'match_rank')

    def draw(self, batch: dict, generator: torch.Generator) -> Tensor | None:
        """Key positions that query positions are matched with, (B, P), if they are random."""
        views = batch['inputs']
        height, width = self.dense_size(views[1].shape[-2:])
        drawn = self.match.draw(len(views[1]), height * width, generator)
        return None if drawn is None else drawn.to(views[1].device, non_blocking=True)

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """`global` (N, C) and `pooled` (N, C), mean of `dense`, normalized; `dense` (N, P, C); `map` (N, P, C_b)."""
        features = backbone(images)[-1]
        projection, dense, pooled = neck((features, ))
        if neck.with_pool:
            features = neck.pool(features)
        return {
            'global': F.normalize(projection.float(), dim=1),
            'dense': dense.float().transpose(1, 2),
            'pooled': F.normalize(pooled.float(), dim=1),
            'map': features.detach().flatten(2).transpose(1, 2),
        }

    def learn(self, views: list[Tensor], decoupled: DecoupledViews | None, teacher: dict[str, Tensor],
              drawn: Tensor | None) -> tuple[dict[str, Tensor], Tensor | None]:
        """As in the base class, and the random matches."""
        student, dense = super().learn(views, decoupled, teacher, drawn)
        return {**student, 'drawn': drawn}, dense

    def base_loss(self, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> dict[str, Tensor]:
        """`loss_global` and `loss_dense`, weighted by 1 - w and w."""
        loss_global = info_nce(student['global'], teacher['global'], self.queue.keys, self.temperature)
        maps = student['map'], teacher['map']
        index = self.correspondence(*maps) if self.match.rank == 1 else self.match(*maps, student['drawn'])
        matched = teacher['dense'].gather(1, index[..., None].expand_as(student['dense']))
        loss_dense = self.dense_loss(student['dense'].flatten(0, 1), self.dense_target(matched.flatten(0, 1)))
        return dict(loss_global=(1 - self.dense_weight) * loss_global.mean(),
                    loss_dense=self.dense_weight * loss_dense.mean())

    def dense_target(self, features: Tensor) -> Tensor:
        """The positive of a position: its normalized projection."""
        return F.normalize(features, dim=1)

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """InfoNCE of matched positions against the pooled keys of earlier images: (M, C), (M, C) -> (M,)."""
        return info_nce(F.normalize(student, dim=1), target, self.dense_queue.keys, self.temperature)

    @staticmethod
    @torch.no_grad()
    def correspondence(query: Tensor, key: Tensor) -> Tensor:
        """Most similar key position by cosine for each query position: (B, P, C_b) x 2 -> (B, P)."""
        return torch.bmm(F.normalize(query, dim=2), F.normalize(key, dim=2).transpose(1, 2)).argmax(2)

    def remember(self, teacher: dict[str, Tensor]) -> None:
        """Enqueue this step's pooled keys."""
        self.queue.enqueue(teacher['global'])
        self.dense_queue.enqueue(teacher['pooled'])

    def dense_size(self, view) -> tuple[int, int]:
        """The neck's `num_grid` if it pools, else the backbone's grid."""
        return self.neck.pool.output_size if self.neck.with_pool else super().dense_size(view)
