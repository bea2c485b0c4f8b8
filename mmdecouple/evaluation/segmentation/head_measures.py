"""Segmentation measures that train a head on frozen features with the recipe of the reference code."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.datasets.seeding import derive_seeds
from mmdecouple.evaluation.segmentation.base import (
    Runtime,
    TalliedMeasure,
    Tallies,
    dense_features,
    device_of,
    feature_batches,
    score_specs,
)
from mmdecouple.evaluation.segmentation.heads import FCNHead, LinearHead
from mmdecouple.evaluation.segmentation.images import AugmentedImages, SegmentationImages, shrink_labels
from mmdecouple.evaluation.segmentation.label_sources import IGNORE
from mmdecouple.evaluation.segmentation.scoring import count_pairs, tally
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

# On CamVid, linear heads whose loss fell by less scored at most 0.7 points below those with three times as many steps,
# and linear heads whose loss fell by 3 to 9 % up to 6 points below.
_CONVERGED = 0.02
_JUDGED_EPOCHS = 4


@dataclass
class HeadSegmentation(TalliedMeasure):
    """Base class: trains a head by SGD on the training images and scores the final head on all validation images.

    The reference keeps the three heads that score best on a part of the validation set. Selecting on validation images
    inflates the score, so this class scores the head of the last epoch.

    Args:
        epochs: Number of passes over the training images, positive.
        drop_at: Number of epochs after which the learning rate is divided by 10, repeatedly.
        min_steps: Number of optimizer steps below which `epochs` and `drop_at` are scaled up, not negative. The epochs
            of a recipe for thousands of images leave a head far from trained on a few hundred: the score then says how
            quickly features are learned.
        batch_size: Images per step; all images where there are fewer.
        lr: Learning rate, positive.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
        grid: Side in pixels to which features are enlarged for the loss, at most that of the images.
        eval_size: Side in pixels at which predictions are scored, at most that of the images; None for that of the
            images.
        augment: Whether to train on random crops and flips, with a forward pass of the network in every step; False
            trains on features that are computed once.
        seeds: Number of heads, trained with seeds 0, 1, ..., whose scores are averaged.

    Raises:
        UserError: A setting is not positive.

    Source: `MkuuWaUjinga/leopart` `experiments/linear_probing/{linear_finetune,eval_linear}.py`.
    """

    epochs: int = 25
    drop_at: int = 20
    min_steps: int = 0
    batch_size: int = 120
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    grid: int = 100
    eval_size: int | None = None
    augment: bool = True
    seeds: int = 1

    def __post_init__(self) -> None:
        for key in ('epochs', 'drop_at', 'batch_size', 'lr', 'grid', 'seeds'):
            if not getattr(self, key) > 0:
                raise UserError(
                    f'{type(self).__name__}: {key} must be positive, got {getattr(self, key)} '
                    f'(key {key} of the measure).'
                )
        if self.min_steps < 0:
            raise UserError(
                f'{type(self).__name__}: min_steps must not be negative, got {self.min_steps} '
                '(key min_steps of the measure).'
            )

    def schedule(self, images: int) -> tuple[int, int]:
        """Returns the epochs of the training on a number of images, and those after which the learning rate drops."""
        steps = self.epochs * (images // min(self.batch_size, images))
        scale = max(self.min_steps / steps, 1)
        return math.ceil(self.epochs * scale), max(round(self.drop_at * scale), 1)

    @abstractmethod
    def head(self, in_channels: int, num_classes: int) -> nn.Module:
        """Returns a new head.

        Args:
            in_channels: Channels C of the features.
            num_classes: Number of classes N.

        Returns:
            Module that maps features `(B, C, h, w)` and a side in pixels to logits `(B, N, size, size)`.
        """

    def scored_size(self, val: SegmentationImages) -> int:
        """See `TalliedMeasure.scored_size`."""
        return min(self.eval_size or val.size, val.size)

    def tally(
        self,
        model: nn.Module,
        train: SegmentationImages,
        val: SegmentationImages,
        runtime: Runtime,
        sizes: Sequence[int],
    ) -> Tallies:
        """See `TalliedMeasure.tally`."""
        cached = None if self.augment else self._features(model, train, runtime)
        heads, losses = zip(
            *(self._train(model, train, cached, seed, runtime) for seed in range(self.seeds)), strict=True
        )
        counts = self._score(model, heads, val, runtime, sizes)
        return Tallies({self.name: counts}, self._notes(np.mean(losses, axis=0), self.schedule(len(train))[1]))

    def _notes(self, losses: np.ndarray, drop_at: int) -> list[str]:
        """Returns a remark if the losses `(epochs,)` still fell when the learning rate dropped."""
        full = losses[:drop_at]
        if len(full) < _JUDGED_EPOCHS:
            return [
                f'{self.name}: the learning rate dropped after epoch {len(full)}, too early to tell whether the head '
                'is trained to the end.'
            ]
        half = full[len(full) // 2 - 1]
        if full[-1] >= (1 - _CONVERGED) * half:
            return []
        return [
            f'{self.name}: the training loss still fell by {1 - full[-1] / half:.1%} over the last '
            f'{len(full) - len(full) // 2} epochs before the learning rate dropped: the head is not trained to the '
            'end, and more epochs would change the score.'
        ]

    def _features(self, model: nn.Module, train: SegmentationImages, runtime: Runtime) -> tuple[Tensor, Tensor]:
        cached = []
        for features, labels in feature_batches(model, train, runtime):
            cached.append((features.cpu(), shrink_labels(labels, self._grid(train)).cpu()))
            runtime.progress(f'{self.name}: features', sum(len(rows) for rows, _ in cached), len(train))
        return torch.cat([rows for rows, _ in cached]), torch.cat([rows for _, rows in cached])

    def _grid(self, images: SegmentationImages) -> int:
        return min(self.grid, images.size)

    def _train(
        self,
        model: nn.Module,
        train: SegmentationImages,
        cached: tuple[Tensor, Tensor] | None,
        seed: int,
        runtime: Runtime,
    ) -> tuple[nn.Module, list[float]]:
        """Returns a trained head and the mean training loss of every epoch."""
        torch.manual_seed(seed)
        channels = dense_features(model, train[0][0][None]).shape[1]
        head = self.head(channels, len(train.classes)).to(device_of(model))
        optimizer = torch.optim.SGD(head.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay)
        epochs, drop_at = self.schedule(len(train))
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, drop_at, gamma=0.1)
        losses = []
        for epoch in range(epochs):
            steps = []
            for features, labels in self._batches(model, train, cached, seed, epoch, runtime):
                logits = head(features, self._grid(train))
                total = F.cross_entropy(logits, labels.long(), ignore_index=IGNORE, reduction='sum')
                # The loss of a batch without labelled pixels is zero; the mean would be NaN.
                loss = total / (labels != IGNORE).sum().clamp(min=1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                steps.append(loss.detach())
            schedule.step()
            losses.append(torch.stack(steps).mean().item())
            if not math.isfinite(losses[-1]):
                raise UserError(
                    f'{type(self).__name__}: the loss is not finite after epoch {epoch + 1}; lower lr '
                    f'(now {self.lr}; key lr of the measure).'
                )
            runtime.progress(f'{self.name}: epochs', seed * epochs + epoch + 1, self.seeds * epochs)
        return head.eval(), losses

    def _batches(
        self,
        model: nn.Module,
        train: SegmentationImages,
        cached: tuple[Tensor, Tensor] | None,
        seed: int,
        epoch: int,
        runtime: Runtime,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        key = derive_seeds(seed, epoch, stream='order')[0]
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(key))
        size, device = min(self.batch_size, len(train)), device_of(model)
        if cached is None:
            images = AugmentedImages(train, seed, epoch)
            for features, labels in feature_batches(model, images, runtime, size, order.tolist()):
                yield features, shrink_labels(labels, self._grid(train))
            return
        for chosen in order[: len(order) // size * size].split(size):
            yield cached[0][chosen].to(device), cached[1][chosen].to(device)

    @torch.no_grad()
    def _score(
        self,
        model: nn.Module,
        heads: Sequence[nn.Module],
        val: SegmentationImages,
        runtime: Runtime,
        sizes: Sequence[int],
    ) -> dict[int, np.ndarray]:
        """Returns the counts `(heads, images, 3, C)` at every size."""
        classes, counts = len(val.classes), {size: [] for size in sizes}
        for features, labels in feature_batches(model, val, runtime):
            shrunk = {size: labels if size == val.size else shrink_labels(labels, size) for size in sizes}
            # One image at a time: an FCN head on features of 448 x 448 positions takes gigabytes per image.
            for index, row in enumerate(features.split(1)):
                for size, found in counts.items():
                    label = shrunk[size][index : index + 1]
                    found.append(
                        [tally(count_pairs(head(row, size).argmax(1), label, classes, classes)) for head in heads]
                    )
            runtime.progress(f'{self.name}: scoring', len(counts[sizes[0]]), len(val))
        return {
            size: torch.stack([torch.stack(rows) for rows in found], dim=1).cpu().numpy()
            for size, found in counts.items()
        }


@MEASURES.register_module()
@dataclass
class LinearSegmentation(HeadSegmentation):
    """mIoU of a linear classifier on frozen features (`linear_*`).

    Args: see `HeadSegmentation`, and
        batch_norm: Whether features are normalized by a batch norm before the classifier, as by DINOv2's linear head.
    """

    name = 'linear'
    metrics = score_specs('linear', 'linear', 'Linear classifier of frozen features', headline=True)
    batch_norm: bool = False

    def check(self, train: SegmentationImages, val: SegmentationImages, positions: int) -> None:
        """See `SegmentationMeasure.check`.

        Raises:
            UserError: The batch norm would be trained on a single position.
        """
        super().check(train, val, positions)
        if self.batch_norm and positions * min(self.batch_size, len(train)) == 1:
            raise UserError(
                'LinearSegmentation: a batch of one position has no variance for the batch norm of the head; use '
                'larger images (--size), or more images (--limit).'
            )

    def head(self, in_channels: int, num_classes: int) -> nn.Module:
        """See `HeadSegmentation.head`."""
        return LinearHead(in_channels, num_classes, self.batch_norm)


@MEASURES.register_module()
@dataclass
class FCNSegmentation(HeadSegmentation):
    """mIoU of an FCN head on frozen features (`fcn_*`); the backbone is not fine-tuned, as in the reference.

    As in the reference, the head is trained on features of 100 x 100 positions and scored on features of 448 x 448,
    where its convolutions cover a smaller part of the image; `eval_size=100` scores it at the training resolution.

    Args: see `HeadSegmentation`, and
        channels: Channels of the hidden layers.
    """

    name = 'fcn'
    metrics = score_specs('fcn', 'FCN', 'FCN head on frozen features', headline=True)
    epochs: int = 30
    batch_size: int = 64
    channels: int = 512

    def head(self, in_channels: int, num_classes: int) -> nn.Module:
        """See `HeadSegmentation.head`."""
        return FCNHead(in_channels, num_classes, self.channels)
