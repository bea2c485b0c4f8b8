"""What a segmentation measure is, and what it shares with the others: frozen features, batch by batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmdecouple.evaluation.run import one_thread
from mmdecouple.evaluation.segmentation.images import SegmentationImages
from mmdecouple.utils.errors import UserError


def _silent(stage: str, done: int, total: int) -> None:
    pass


@dataclass
class Runtime:
    """How to run, with no influence on the numbers.

    Args:
        batch_size: Images at a time through the network where nothing is trained.
        num_workers: Processes that read images.
        progress: Called with (stage, steps done, steps in all).
    """

    batch_size: int = 16
    num_workers: int = 0
    progress: Callable[[str, int, int], None] = _silent


@dataclass
class SegmentationResult:
    """What a measure found.

    Args:
        values: Name -> one number per seed, shares in [0, 1].
        class_iou: Name -> IoU of each class (C,), mean over seeds.
        notes: Remarks.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    class_iou: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class SegmentationMeasure(ABC):
    """Base of the measures. The network is frozen: only its dense map (`model.dense_features`) is read."""

    name: ClassVar[str]

    @abstractmethod
    def run(
        self, model: nn.Module, train: SegmentationImages, val: SegmentationImages, runtime: Runtime
    ) -> SegmentationResult:
        """Numbers of `model`, which is in evaluation mode.

        Args:
            model: Has `data_preprocessor` and `dense_features`, as every algorithm here.
            train: What heads learn from.
            val: What is scored.
            runtime: How to run.
        """


def device_of(model: nn.Module) -> torch.device:
    """Where the weights of the model are; the CPU for a model without any."""
    return next((parameter.device for parameter in model.parameters()), torch.device('cpu'))


@torch.no_grad()
def dense_features(model: nn.Module, images: Tensor) -> Tensor:
    """Frozen features of a batch, normalized by the model's own preprocessor.

    Args:
        model: See `SegmentationMeasure.run`.
        images: uint8 RGB (B, 3, H, W).

    Returns:
        float32 (B, C, h, w) on the model's device.

    Raises:
        ValueError: Features are not finite.
    """
    batch = model.data_preprocessor(dict(inputs=[images]), False)
    features = model.dense_features(batch['inputs'][0]).float()
    if not features.isfinite().all():
        raise UserError(
            'segmentation: the network gives features that are not finite; its weights are broken, or '
            'do not fit the preprocessor of the config.'
        )
    return features


def feature_batches(
    model: nn.Module, images: Dataset, runtime: Runtime, batch_size: int | None = None, order: list[int] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features and labels, batch by batch.

    Args:
        model: See `SegmentationMeasure.run`.
        images: `SegmentationImages` or `AugmentedImages`.
        runtime: How to run.
        batch_size: Images at a time; None: the runtime's.
        order: Indices to go through; incomplete batches at the end are left out. None: all, in order.

    Yields:
        Features (B, C, h, w) float32 and labels (B, S, S) uint8, on the model's device.
    """
    # A loader without a generator of its own would draw from the global one.
    loader = DataLoader(
        images,
        batch_size or runtime.batch_size,
        sampler=order,
        drop_last=order is not None,
        num_workers=runtime.num_workers,
        generator=torch.Generator(),
        worker_init_fn=one_thread,
    )
    device = device_of(model)
    for pixels, labels in loader:
        yield dense_features(model, pixels), labels.to(device)
