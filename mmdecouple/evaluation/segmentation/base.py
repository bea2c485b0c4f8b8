"""Base class of segmentation measures, and frozen features of a data set, batch by batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmdecouple.evaluation.measures.metric_spec import SEGMENTATION, MetricSpec
from mmdecouple.evaluation.run import one_thread
from mmdecouple.evaluation.segmentation.images import SegmentationImages
from mmdecouple.evaluation.segmentation.scoring import tally_iou, tally_scores, tally_statistic
from mmdecouple.evaluation.stats import MetricValue, Statistic, average, estimate
from mmdecouple.utils.errors import UserError


def _silent(stage: str, done: int, total: int) -> None:
    pass


@dataclass
class Runtime:
    """Settings of execution, which do not change the numbers.

    Args:
        batch_size: Images per forward pass where nothing is trained.
        num_workers: Number of processes that read images.
        progress: Called with (stage, steps done, total steps).
    """

    batch_size: int = 16
    num_workers: int = 0
    progress: Callable[[str, int, int], None] = _silent


@dataclass
class SegmentationResult:
    """Result of one measure.

    Args:
        values: Key of a metric -> one value per seed, in [0, 1].
        class_iou: Name -> IoU of each class, `(C,)` in [0, 1], mean over seeds.
        notes: Remarks for the report.
        estimates: Key of a metric -> mean over seeds with its interval over validation images; may lack metrics.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    class_iou: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    estimates: dict[str, MetricValue] = field(default_factory=dict)


class SegmentationMeasure(ABC):
    """Base class of segmentation measures. The network is frozen: only `model.dense_features` is read.

    Attributes:
        name: Name of the measure; the keys of its metrics begin with it.
        metrics: Spec of every metric that the measure computes with its default settings.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[MetricSpec, ...]] = ()

    @classmethod
    def spec_of(cls, key: str) -> MetricSpec | None:
        """Returns the spec of a metric that the measure computes with any settings; None for any other key."""
        return next((spec for spec in cls.metrics if spec.key == key), None)

    def check(self, train: SegmentationImages, val: SegmentationImages, positions: int) -> None:
        """Checks that the data is sufficient, before any measure runs.

        Args:
            train: See `run`.
            val: See `run`.
            positions: Number of positions in the features of one image.

        Raises:
            UserError: It is not, or the splits have different classes.
        """
        if train.classes != val.classes:
            raise UserError(
                f'{type(self).__name__}: training and validation images have different classes '
                f'({len(train.classes)} and {len(val.classes)}); use two splits of one data set.'
            )

    @abstractmethod
    def run(
        self, model: nn.Module, train: SegmentationImages, val: SegmentationImages, runtime: Runtime
    ) -> SegmentationResult:
        """Measures `model`, which is in evaluation mode, on data that passed `check`.

        Args:
            model: Module with `data_preprocessor` and `dense_features`, such as any algorithm of this package.
            train: Images on which heads are trained.
            val: Images that are scored.
            runtime: Settings of execution.
        """


@dataclass
class Tallies:
    """Counts of a measure for every validation image.

    Args:
        counts: Name with which keys begin -> side of the label maps in pixels -> integers `(seeds, images, 3, C)`, see
            `scoring.tally`.
        notes: Remarks for the report.
    """

    counts: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def statistic(self, name: str, key: str) -> Statistic:
        """Returns the mean over seeds of a score, see `tally_statistic`, at the first size of a name."""
        return average([tally_statistic(tallies, key) for tallies in next(iter(self.counts[name].values()))])

    def result(self) -> SegmentationResult:
        """Returns the scores at the first size of each name."""
        result = SegmentationResult(notes=self.notes)
        for name, by_size in self.counts.items():
            seeds = next(iter(by_size.values())).sum(1)
            found = [tally_scores(counts) for counts in seeds]
            result.values |= {f'{name}_{key}': [score[key] for score in found] for key in found[0]}
            result.class_iou[name] = tally_iou(seeds).mean(0).tolist()
            images = np.arange(next(iter(by_size.values())).shape[1])
            result.estimates |= {f'{name}_{key}': estimate(self.statistic(name, key), images) for key in found[0]}
        return result


class TalliedMeasure(SegmentationMeasure):
    """Base class of measures that count pixels of every validation image, at one or several sizes of label maps."""

    @abstractmethod
    def scored_size(self, val: SegmentationImages) -> int:
        """Returns the side in pixels of the label maps that `run` scores."""

    @abstractmethod
    def tally(
        self,
        model: nn.Module,
        train: SegmentationImages,
        val: SegmentationImages,
        runtime: Runtime,
        sizes: Sequence[int],
    ) -> Tallies:
        """Counts pixels by prediction and label.

        Features and whatever is trained on them are the same for all sizes: only predictions are enlarged, and label
        maps reduced, to each of them.

        Args:
            model: See `run`.
            train: See `run`.
            val: See `run`.
            runtime: See `run`.
            sizes: Sides of the label maps in pixels, at most that of the images.
        """

    def run(
        self, model: nn.Module, train: SegmentationImages, val: SegmentationImages, runtime: Runtime
    ) -> SegmentationResult:
        """See `SegmentationMeasure.run`."""
        return self.tally(model, train, val, runtime, [self.scored_size(val)]).result()


def score_specs(name: str, label: str, what: str, headline: bool = False) -> tuple[MetricSpec, ...]:
    """Returns the specs of the values of `scores`, in their order.

    Args:
        name: Name with which the keys begin, without the final underscore.
        label: Name with which the labels end.
        what: What is scored, with which the meanings begin.
        headline: Whether short tables show the mIoU.
    """
    return tuple(
        MetricSpec(
            f'{name}_{key}',
            f'{quantity} {label}{suffix}',
            f'{what}: {meaning}.',
            'higher',
            True,
            SEGMENTATION,
            headline and key == 'miou',
            digits=2,
        )
        for key, quantity, suffix, meaning in (
            ('miou', 'mIoU', '', 'mean IoU over all classes; a class without a labelled pixel counts as 0'),
            ('miou_present', 'mIoU', ', present classes', 'mean IoU over the classes that have labelled pixels'),
            ('pixel_accuracy', 'pixel accuracy', '', 'share of the labelled pixels whose class is correct'),
        )
    )


def device_of(model: nn.Module) -> torch.device:
    """Returns the device of the model's weights; the CPU for a model without weights."""
    return next((parameter.device for parameter in model.parameters()), torch.device('cpu'))


@torch.no_grad()
def dense_features(model: nn.Module, images: Tensor) -> Tensor:
    """Returns the frozen features of a batch of images, which the model's own preprocessor normalizes.

    Args:
        model: See `SegmentationMeasure.run`.
        images: uint8 RGB `(B, 3, H, W)`.

    Returns:
        float32 `(B, C, h, w)` on the model's device.

    Raises:
        UserError: A feature is not finite.
    """
    batch = model.data_preprocessor(dict(inputs=[images]), False)
    features = model.dense_features(batch['inputs'][0]).float()
    if not features.isfinite().all():
        raise UserError(
            'segmentation: the network computes features that are not finite; check that its weights are intact and '
            'that they belong to the data_preprocessor of the config.'
        )
    return features


def feature_batches(
    model: nn.Module, images: Dataset, runtime: Runtime, batch_size: int | None = None, order: list[int] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields features and labels, batch by batch.

    Args:
        model: See `SegmentationMeasure.run`.
        images: `SegmentationImages` or `AugmentedImages`.
        runtime: Settings of execution.
        batch_size: Images per batch; None for that of the runtime.
        order: Indices in the order of reading; an incomplete last batch is dropped. None for all images, in order.

    Yields:
        Features `(B, C, h, w)` float32 and labels `(B, S, S)` uint8, on the model's device.
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
