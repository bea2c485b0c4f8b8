"""Pieces of a card that need label maps: trained heads, clusters and retrieval, each scored at two sizes of masks."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from mmdecouple.card.features import StoredNetwork
from mmdecouple.card.pieces import Reading
from mmdecouple.card.timing import clusters_time, head_time, lookup_time
from mmdecouple.evaluation import stats
from mmdecouple.evaluation.measures.metric_spec import SEGMENTATION, MetricSpec
from mmdecouple.evaluation.segmentation.base import Runtime, TalliedMeasure
from mmdecouple.evaluation.segmentation.clustering import choose_library
from mmdecouple.evaluation.segmentation.head_measures import LinearSegmentation
from mmdecouple.evaluation.segmentation.images import SegmentationImages, shrink_labels
from mmdecouple.evaluation.segmentation.label_sources import LabelFiles
from mmdecouple.evaluation.segmentation.over_clustering import OverClustering
from mmdecouple.evaluation.segmentation.retrieval import Retrieval
from mmdecouple.evaluation.segmentation.scoring import mean_iou
from mmdecouple.networks.inference import evaluating
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.progress import shown_progress

SIZES = (100, 448)
CLUSTERS = 500
_HEAD = dict(min_steps=1000, batch_size=16, lr=0.1, grid=56, augment=False, batch_norm=True)
_MEMORY = 10240


@dataclass(frozen=True)
class LabelledData:
    """Images with label maps of a card.

    Attributes:
        train: Training images.
        val: Scored images.
        sizes: Sides of the scored masks in pixels, ascending.
        present: Classes with a labelled pixel in the scored masks of every size, bool `(C,)`.
        read_seconds: Time in seconds in which one image and its label map are read.
    """

    train: SegmentationImages
    val: SegmentationImages
    sizes: tuple[int, ...]
    present: np.ndarray
    read_seconds: float

    @classmethod
    def read(cls, train: SegmentationImages, val: SegmentationImages, sizes: tuple[int, ...]) -> 'LabelledData':
        """Reads all images and label maps once, and returns the data.

        Raises:
            UserError: A file cannot be read, or no pixel is labelled.
        """
        start, total = time.perf_counter(), len(train) + len(val)
        with shown_progress('reading label maps', after=2) as show:
            labelled_classes(train, (train.size,), 'training', lambda done: show(done, total))
            present = labelled_classes(val, sizes, 'scored', lambda done: show(len(train) + done, total))
        return cls(train, val, sizes, present, (time.perf_counter() - start) / total)

    @property
    def sentence(self) -> str:
        """Data and input of the protocols."""
        size = self.val.size
        present = f'{np.count_nonzero(self.present)} of {len(self.present)}'
        return (
            f'{self.val.source.name}: {len(self.val)} scored and {len(self.train)} training images, resized to '
            f'{size} x {size} px; mean IoU over the {present} classes with a label in masks of every size'
        )

    def identity(self) -> dict[str, Any]:
        """Returns what determines the images and labels: files with their sizes and times, or settings of scenes."""
        return dict(size=self.val.size, masks=self.sizes, train=_files(self.train), val=_files(self.val))


@dataclass(frozen=True)
class SegmentationPiece:
    """One measure of segmentation at every size of masks, with the gaps between sizes.

    Attributes:
        name: See `Piece`.
        title: See `Piece`.
        measure: The measure.
        data: Images with label maps.
        rows: Name in the counts of the measure -> beginning of the keys and labels of the rows.
        settings: Settings of the measure for the protocol.
        taps: Whether four taps are read instead of the last map.
    """

    name: str
    title: str
    measure: TalliedMeasure
    data: LabelledData
    rows: dict[str, tuple[str, str]]
    settings: str
    taps: bool = False

    def identity(self) -> dict[str, Any]:
        """See `Piece.identity`."""
        kind = type(self.measure).__name__
        settings = asdict(self.measure)
        if isinstance(self.measure, OverClustering):
            settings['library'] = choose_library(self.measure.library)
        return dict(measure=kind, settings=settings, taps=self.taps, data=self.data.identity())

    def obstacle(self, reading: Reading) -> str:
        """See `Piece.obstacle`."""
        if self.taps and reading.store.taps is None:
            return 'the layers of its backbone cannot be read'
        positions = (self.data.val.size // reading.network.cell) ** 2
        try:
            self.measure.check(self.data.train, self.data.val, positions)
        except UserError as error:
            return str(error).partition(';')[0].partition(': ')[2]
        return ''

    def specs(self, metrics: dict[str, dict]) -> list[MetricSpec]:
        """See `Piece.specs`."""
        first, last = self.data.sizes[0], self.data.sizes[-1]
        found = []
        for key, label in self.rows.values():
            found += [_spec(f'{key}_{size}', f'{label}, masks of {size} px') for size in self.data.sizes]
            found.append(
                replace(
                    _spec(f'{key}_gap', f'{label}, masks of {first} px minus {last} px', ''),
                    meaning='What the size of the label maps alone changes, with the same predictions.',
                )
            )
        label = ' minus '.join(label for _, label in self.rows.values())
        found.append(
            replace(
                _spec(f'{self.name}_foreign_gap', f'{label}, masks of {last} px', 'lower'),
                meaning='Mean IoU that is lost when what surrounds a region is replaced by another image.',
            )
        )
        return [spec for spec in found if spec.key in metrics]

    def protocol(self, reading: Reading) -> str:
        """See `Piece.protocol`."""
        cell, size = reading.network.cell, self.data.val.size
        read = f'four taps ({reading.store.taps})' if self.taps else 'last layer'
        where = f'{size // cell} x {size // cell} positions of the {read}'
        return f'{self.data.sentence}; {where}; {self.settings}.'

    def estimate(self, reading: Reading) -> float:
        """See `Piece.estimate`; without the passes of `shared_passes`."""
        reads = self._reads() * self.data.read_seconds / max(reading.workers, 1)
        return reads + self._computing(reading)

    def _reads(self) -> int:
        """Returns how often an image is read; each query of retrieval-D reads the image around it as well."""
        train, val = len(self.data.train), len(self.data.val)
        if isinstance(self.measure, OverClustering):
            return val
        return train + 3 * val if isinstance(self.measure, Retrieval) else train + val

    def _computing(self, reading: Reading) -> float:
        data, sample = self.data, reading.sample(self.data.val.size)
        if isinstance(self.measure, LinearSegmentation):
            features = sample.taps if self.taps else sample.last
            return head_time(self.measure, features, data.train, len(data.val), data.sizes)
        if isinstance(self.measure, OverClustering):
            return clusters_time(sample.last, len(data.val), CLUSTERS, self.measure.iterations)
        found = lookup_time(sample.last, self.measure, len(data.present), data.sizes)
        return len(data.val) * (self.measure.groups * sample.seconds + (1 + self.measure.groups) * found)

    def shared_passes(self, reading: Reading) -> float:
        """Returns the time in seconds of the forward passes that all pieces of segmentation share."""
        return (len(self.data.train) + len(self.data.val)) * reading.sample(self.data.val.size).seconds

    def run(self, reading: Reading) -> dict[str, Any]:
        """See `Piece.run`."""
        runtime = Runtime(
            reading.batch_size,
            reading.workers,
            lambda stage, done, total: reading.progress(self._titled(stage), done, total),
        )
        model = StoredNetwork(reading.store, self.taps)
        with evaluating(model):
            tallies = self.measure.tally(model, self.data.train, self.data.val, runtime, self.data.sizes)
        found: dict[str, stats.MetricValue] = {}
        images = np.arange(len(self.data.val))
        for name, (key, _) in self.rows.items():
            by_size = {size: counts[0] for size, counts in tallies.counts[name].items()}
            for size, counts in by_size.items():
                found[f'{key}_{size}'] = stats.estimate(mean_iou(counts, self.data.present), images)
            if len(by_size) > 1:
                first, last = (found[f'{key}_{size}'] for size in (self.data.sizes[0], self.data.sizes[-1]))
                found[f'{key}_gap'] = stats.difference(first, last)
        if len(self.rows) > 1:
            plain, foreign = (found[f'{key}_{self.data.sizes[-1]}'] for key, _ in self.rows.values())
            found[f'{self.name}_foreign_gap'] = stats.difference(plain, foreign)
        return dict(
            metrics={key: value.entry() for key, value in found.items()},
            resamples={key: [float(f'{entry:.6g}') for entry in value.resamples] for key, value in found.items()},
            notes=[self._titled(note) for note in tallies.notes],
        )

    def _titled(self, text: str) -> str:
        """Returns a stage or a remark of the measure with the title of the piece in place of the measure's name."""
        name, colon, rest = text.partition(':')
        return f'{self.title}{colon}{rest}' if name == self.measure.name else text


def segmentation_pieces(data: LabelledData) -> list[SegmentationPiece]:
    """Returns the pieces that need label maps, in the order in which they are measured.

    Args:
        data: Images with label maps.
    """
    head = LinearSegmentation(**_HEAD)
    epochs, drop_at = head.schedule(len(data.train))
    trained = (
        f'linear classifier behind a batch norm, SGD with learning rate {head.lr:g} (a tenth after {drop_at} '
        f'epochs), momentum {head.momentum:g}, decay {head.weight_decay:g}, {epochs} epochs of batches of '
        f'{min(head.batch_size, len(data.train))}, loss on {head.grid} x {head.grid} px, no '
        'augmentation, one seed'
    )
    clusters = OverClustering((CLUSTERS,), seeds=1, restarts=1, iterations=50)
    memory = Retrieval(memory=max(_MEMORY, len(data.train)), augment=False, groups=2)
    return [
        SegmentationPiece('linear', 'linear', head, data, {'linear': ('linear', 'linear')}, trained),
        SegmentationPiece(
            'taps', 'linear, four taps', head, data, {'linear': ('taps', 'linear, four taps')}, trained, taps=True
        ),
        SegmentationPiece(
            'clusters',
            f'K = {CLUSTERS}',
            clusters,
            data,
            {f'overcluster_{CLUSTERS}_majority': ('clusters', f'K = {CLUSTERS}')},
            f'k-means of all positions of the scored images into {CLUSTERS} clusters after PCA to {clusters.pca_dim} '
            f'dimensions, {clusters.iterations} steps, one start and one seed; each cluster takes its most frequent '
            'class at the scored size, on the scored images',
        ),
        SegmentationPiece(
            'retrieval',
            'retrieval - retrieval-D',
            memory,
            data,
            {'retrieval': ('retrieval', 'retrieval'), 'retrieval_d': ('retrieval_d', 'retrieval-D')},
            f'a memory of at most {memory.memory} positions of the training images, without crops; k = '
            f'{memory.neighbors}, temperature {memory.temperature:g}; retrieval-D replaces what surrounds each of '
            f'{memory.groups} groups of classes by another image',
        ),
    ]


def labelled_classes(
    images: SegmentationImages, sizes: Sequence[int], where: str, show: Callable[[int], None]
) -> np.ndarray:
    """Reads all label maps and returns the classes with a labelled pixel at every size, bool `(C,)`.

    Args:
        images: Images with label maps.
        sizes: Sides in pixels to which the label maps are reduced.
        where: What they are for, for the message.
        show: Called with the number of images read.

    Raises:
        UserError: A file cannot be read, or no class has a labelled pixel at every size.
    """
    found = torch.zeros(len(sizes), 256, dtype=torch.bool)
    for index in range(len(images)):
        _, labels = images[index]
        for row, size in enumerate(sizes):
            found[row, shrink_labels(labels[None], size).flatten().long()] = True
        show(index + 1)
    found = found[:, : len(images.classes)]
    if not found.any():
        raise UserError(
            f'card: none of the {len(images)} {where} images of {images.source.name} has a labelled pixel (all are '
            'void); name other data (--data), or more images (--limit).'
        )
    if not found.all(0).any():
        raise UserError(
            f'card: no class of {images.source.name} has labelled pixels in masks of all sizes '
            f'({", ".join(map(str, sizes))} px); use more images (--limit).'
        )
    return found.all(0).numpy()


def _spec(key: str, label: str, better: str = 'higher') -> MetricSpec:
    meaning = 'Mean IoU over the classes with a label.'
    return MetricSpec(key, label, meaning, better, True, SEGMENTATION, digits=1)


def _files(images: SegmentationImages) -> dict[str, Any]:
    source = images.source
    found: dict[str, Any] = dict(name=source.name, classes=source.classes, indices=images.indices.tolist())
    if isinstance(source, LabelFiles):
        paths: Sequence[str] = [path for index in images.indices for path in source.pairs[index]]
        found['files'] = [(path, (facts := os.stat(path)).st_size, facts.st_mtime_ns) for path in paths]
    else:
        found['scenes'] = source.objects.name
    return found
