"""MoCo v2: instance discrimination with a queue of negatives."""

import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.models.layers import NegativeQueue
from mmdecouple.models.losses import info_nce
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .base import DenseAlgorithm
from .step import Step, ViewFlow


@MODELS.register_module()
class MoCoV2(DenseAlgorithm):
    """Momentum contrast with an MLP head: InfoNCE of the query against its key and a queue of earlier keys.

    Args:
        queue_length: Number of keys Q in the queue, at least 1.
        channels: Channels C of the projection, at least 1.
        temperature: Temperature of InfoNCE, above 0.
        **kwargs: Arguments of `DenseAlgorithm`.

    Raises:
        SettingError: A value is out of range.

    Source: arXiv 2003.04297; `facebookresearch/moco moco/builder.py`.
    """

    flow = ViewFlow(returns_map=True)

    def __init__(self, queue_length: int = 65536, channels: int = 128, temperature: float = 0.2, **kwargs) -> None:
        check = Settings(self, 'model')
        check.number('queue_length', queue_length, 1, whole=True)
        check.number('channels', channels, 1, whole=True)
        check.number('temperature', temperature, above=0)
        super().__init__(**kwargs)
        self.queue = NegativeQueue(queue_length, channels)
        self.temperature = temperature

    def encode(self, backbone: nn.Module, neck: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Returns `global`, the L2-normalized projection of the pooled map, (N, C), and for further terms the `map`."""
        features = backbone(images)[-1]
        (projection,) = neck((features,))
        outputs = {'global': F.normalize(projection.float(), dim=1)}
        return {**outputs, 'map': features.flatten(2).transpose(1, 2)} if self.terms.read_map else outputs

    def base_loss(self, step: Step) -> dict[str, Tensor]:
        """Returns `loss_global`, InfoNCE of the pooled projection."""
        loss = info_nce(step.student['global'], step.teacher['global'], self.queue.keys, self.temperature)
        return dict(loss_global=loss.mean())

    def update_memory(self, step: Step) -> None:
        """Enqueues the keys of this step."""
        self.queue.enqueue(step.teacher['global'])
