"""DenseCL: contrastive learning of pooled views and of matched positions of two views."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.models.layers import NegativeQueue
from mmdecouple.models.losses import info_nce
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .step import Step, ViewFlow


@MODELS.register_module()
class DenseCL(DenseAlgorithm):
    """Dense contrastive learning: L_base = (1 - w) L_global + w L_dense.

    Each position of the query view is matched with the position of the key view whose backbone features are most
    similar; the dense negatives are the pooled dense keys of earlier images. The paper's eq. 8 matches projections;
    this class matches backbone features, as the authors' code does.

    Args:
        queue_length: Number of keys Q in each of the two queues, at least 1.
        channels: Channels C of the projections, at least 1.
        temperature: Temperature of both InfoNCE terms, above 0.
        dense_weight: w, in [0, 1].
        **kwargs: Arguments of `DenseAlgorithm`; `neck` is mmpretrain's `DenseCLNeck`. With its `num_grid`, the map of
            the backbone is pooled to the same grid before matching.

    Raises:
        SettingError: A value is out of range, or the neck is of another class.

    Source: arXiv 2011.09157; mmpretrain `models/selfsup/densecl.py` (Apache-2.0).
    """

    flow = ViewFlow(returns_map=True)

    def __init__(
        self,
        queue_length: int = 65536,
        channels: int = 128,
        temperature: float = 0.2,
        dense_weight: float = 0.5,
        **kwargs,
    ) -> None:
        check = Settings(self, 'model')
        check.number('queue_length', queue_length, 1, whole=True)
        check.number('channels', channels, 1, whole=True)
        check.number('temperature', temperature, above=0)
        check.number('dense_weight', dense_weight, 0, 1)
        super().__init__(**kwargs)
        self._require('neck', "mmpretrain's DenseCLNeck", 'with_pool')
        self.queue = NegativeQueue(queue_length, channels)
        self.dense_queue = NegativeQueue(queue_length, channels)
        self.temperature = temperature
        self.dense_weight = dense_weight

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Computes the outputs of one network.

        Returns:
            `global` and `pooled` (the mean of `dense`), normalized, (N, C) each; `dense`, (N, P, C); the backbone
            features `map`, (N, P, C_b).
        """
        features = backbone(images)[-1]
        projection, dense, pooled = neck((features,))
        if neck.with_pool:
            features = neck.pool(features)
        return {
            'global': F.normalize(projection.float(), dim=1),
            'dense': dense.float().transpose(1, 2),
            'pooled': F.normalize(pooled.float(), dim=1),
            'map': features.flatten(2).transpose(1, 2),
        }

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_global` and `loss_dense`, weighted by 1 - w and w."""
        student, teacher = step.student, step.teacher
        loss_global = info_nce(student['global'], teacher['global'], self.queue.keys, self.temperature)
        matched = teacher['dense'].gather(1, self.match(step)[..., None].expand_as(student['dense']))
        loss_dense = self.dense_loss(student['dense'].flatten(0, 1), matched.flatten(0, 1))
        return dict(
            loss_global=(1 - self.dense_weight) * loss_global.mean(), loss_dense=self.dense_weight * loss_dense.mean()
        )

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Returns InfoNCE of matched positions against the pooled keys of earlier images: (M, C), (M, C) -> (M,)."""
        student, target = F.normalize(student, dim=1), F.normalize(target, dim=1)
        return info_nce(student, target, self.dense_queue.keys, self.temperature)

    @torch.no_grad()
    def match(self, step: Step) -> Tensor:
        """Returns the most similar key position, by cosine of backbone features, of each query position, (B, P)."""
        query, key = (F.normalize(outputs['map'], dim=2) for outputs in (step.student, step.teacher))
        return torch.bmm(query, key.transpose(1, 2)).argmax(2)

    def update_memory(self, step: Step) -> None:
        """Enqueues the global and pooled keys of this step."""
        self.queue.enqueue(step.teacher['global'])
        self.dense_queue.enqueue(step.teacher['pooled'])
