"""Segmentation measure without training: k-means of all tokens of the validation images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.segmentation.base import (
    Runtime,
    TalliedMeasure,
    Tallies,
    device_of,
    feature_batches,
    score_specs,
)
from mmdecouple.evaluation.segmentation.clustering import choose_library, kmeans, principal_components
from mmdecouple.evaluation.segmentation.images import SegmentationImages, shrink_labels
from mmdecouple.evaluation.segmentation.scoring import count_pairs, hungarian_match, majority_match, tally
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

AS_CLASSES = 'classes'
CHUNK = 64
_MATCHINGS = dict(
    majority=('', 'each assigned to its most frequent class'),
    hungarian=(' one-to-one', 'matched one-to-one to the classes'),
)


def _specs(count: int, matching: str, headline: bool = False) -> tuple[MetricSpec, ...]:
    suffix, how = _MATCHINGS[matching]
    what = f'{count} clusters of frozen tokens, {how}'
    return score_specs(f'overcluster_{count}_{matching}', f'K={count}{suffix}', what, headline)


@MEASURES.register_module()
@dataclass
class OverClustering(TalliedMeasure):
    """mIoU of clusters of frozen tokens, mean over seeds (`overcluster_<K>_<matching>_*`).

    All tokens of the validation images are standardized, reduced by PCA and clustered; cluster ids are enlarged to
    `grid` x `grid` by the nearest token. The matching is part of the name: `hungarian` (one-to-one by IoU) where K is
    the number of classes, else `majority` (many-to-one by precision: each cluster takes its most frequent class).
    The published numbers for K = 500 are majority votes, including those that a paper calls Hungarian matching.

    Args:
        clusters: Numbers of clusters K; 'classes' stands for the number of classes.
        seeds: Number of clusterings per K, with seeds 0, 1, ...
        pca_dim: Number of principal components.
        iterations: See `kmeans`.
        restarts: See `kmeans`.
        sample: See `kmeans`.
        grid: Side in pixels at which pixels are counted, at most that of the images.
        library: `faiss`, `sklearn`, or `auto` for faiss where it is installed.

    Raises:
        UserError: A setting is below 1, `clusters` holds another value, or `library` is unknown or not installed.

    Source: `MkuuWaUjinga/leopart` `experiments/overcluster/sup_overcluster.py`.
    """

    name = 'overcluster'
    metrics = _specs(500, 'majority', headline=True)
    clusters: Sequence[int | str] = (500,)
    seeds: int = 5
    pca_dim: int = 50
    iterations: int = 100
    restarts: int = 5
    sample: int | None = 256
    grid: int = 100
    library: str = 'auto'

    def __post_init__(self) -> None:
        for key in ('seeds', 'pca_dim', 'iterations', 'restarts', 'grid'):
            if getattr(self, key) < 1:
                raise UserError(
                    f'OverClustering: {key} must be at least 1, got {getattr(self, key)} (key {key} of the measure).'
                )
        for count in self.clusters:
            if count != AS_CLASSES and not (isinstance(count, int) and count > 0):
                raise UserError(
                    f"OverClustering: clusters must be positive numbers or '{AS_CLASSES}', got {count!r} "
                    '(key clusters of the measure).'
                )
        choose_library(self.library)

    @classmethod
    def spec_of(cls, key: str) -> MetricSpec | None:
        """See `SegmentationMeasure.spec_of`; the keys depend on the number of clusters."""
        found = re.match(rf'{cls.name}_(\d+)_({"|".join(_MATCHINGS)})_', key)
        specs = (*cls.metrics, *(_specs(int(found[1]), found[2]) if found else ()))
        return next((spec for spec in specs if spec.key == key), None)

    def check(self, train: SegmentationImages, val: SegmentationImages, positions: int) -> None:
        """See `SegmentationMeasure.check`.

        Raises:
            UserError: There are more clusters than tokens.
        """
        super().check(train, val, positions)
        most = max(len(val.classes) if count == AS_CLASSES else count for count in self.clusters)
        if positions * len(val) < most:
            raise UserError(
                f'OverClustering: {most} clusters require as many tokens, got {positions * len(val)} ({positions} of '
                f'each of {len(val)} validation images); use more or larger images (--limit, --size), or fewer '
                'clusters (--clusters; key clusters of the measure).'
            )

    def scored_size(self, val: SegmentationImages) -> int:
        """See `TalliedMeasure.scored_size`."""
        return min(self.grid, val.size)

    def tally(
        self,
        model: nn.Module,
        train: SegmentationImages,
        val: SegmentationImages,
        runtime: Runtime,
        sizes: Sequence[int],
    ) -> Tallies:
        """See `TalliedMeasure.tally`; the training images are not used, and each size has its own matching."""
        maps, labels = self._collect(model, val, runtime, sizes)
        grid = maps.shape[1:3]
        points = principal_components(maps.flatten(0, 2), self.pca_dim, device_of(model)).numpy()
        del maps
        library = choose_library(self.library)
        result = Tallies(notes=[f'overcluster: k-means by {library}.'])
        if points.shape[1] < self.pca_dim:
            result.notes.append(
                f'overcluster: features have {points.shape[1]} channels, fewer than '
                f'pca_dim = {self.pca_dim}; all components are used.'
            )
        counts = dict.fromkeys(len(val.classes) if count == AS_CLASSES else count for count in self.clusters)
        for number, count in enumerate(counts):
            matching = 'hungarian' if count == len(val.classes) else 'majority'
            name, used, found = f'{self.name}_{count}_{matching}', count, {size: [] for size in sizes}
            for seed in range(self.seeds):
                ids = kmeans(points, count, seed, self.iterations, self.restarts, self.sample, library)
                used = min(used, len(np.unique(ids)))
                for size in sizes:
                    maps = torch.from_numpy(ids).view(-1, *grid)
                    found[size].append(self._matched(maps, labels[size], count, len(val.classes)))
                runtime.progress(f'{self.name}: clusterings', number * self.seeds + seed + 1, len(counts) * self.seeds)
            if used < count:
                result.notes.append(f'{name}: only {used} of {count} clusters contain tokens.')
            result.counts[name] = {size: np.stack(tallies) for size, tallies in found.items()}
        return result

    @staticmethod
    def _collect(
        model: nn.Module, val: SegmentationImages, runtime: Runtime, sizes: Sequence[int]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        maps, done = None, 0
        labels = {size: torch.empty(len(val), size, size, dtype=torch.uint8) for size in sizes}
        for features, full in feature_batches(model, val, runtime):
            if maps is None:
                maps = torch.empty(len(val), *features.shape[2:], features.shape[1])
            rows = slice(done, done + len(full))
            maps[rows] = features.permute(0, 2, 3, 1).cpu()
            for size in sizes:
                labels[size][rows] = shrink_labels(full, size).cpu()
            done += len(full)
            runtime.progress(f'{OverClustering.name}: features', done, len(val))
        return maps, labels

    @staticmethod
    def _matched(ids: Tensor, labels: Tensor, clusters: int, classes: int) -> np.ndarray:
        """Returns the counts `(images, 3, C)` of clusters (N, h, w) that are matched on labels (N, S, S)."""

        def enlarged(part: Tensor) -> Tensor:
            return F.interpolate(part[:, None].float(), size=labels.shape[1:], mode='nearest')[:, 0].long()

        counts = sum(
            count_pairs(enlarged(part), label, clusters, classes)
            for part, label in zip(ids.split(CHUNK), labels.split(CHUNK))
        ).numpy()
        match = torch.from_numpy(hungarian_match(counts) if clusters == classes else majority_match(counts))
        return np.stack(
            [
                tally(count_pairs(match[enlarged(part)], label, classes, classes)).numpy()
                for part, label in zip(ids.split(1), labels.split(1))
            ]
        )
