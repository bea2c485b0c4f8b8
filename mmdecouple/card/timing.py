"""Expected times of the parts of a card, from timed samples of the same operations on this machine."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.card.features import FeatureStore, StoredNetwork
from mmdecouple.evaluation.segmentation.base import dense_features
from mmdecouple.evaluation.segmentation.head_measures import LinearSegmentation
from mmdecouple.evaluation.segmentation.heads import enlarge
from mmdecouple.evaluation.segmentation.images import SegmentationImages
from mmdecouple.evaluation.segmentation.label_memory import LabelMemory
from mmdecouple.evaluation.segmentation.retrieval import Retrieval
from mmdecouple.networks.inference import evaluating

_SAMPLE = 2
_LONG = 0.5  # seconds


def seconds_of(work: Callable[[], object]) -> float:
    """Returns the time in seconds that a function takes, including queued work of a GPU.

    A short function is called repeatedly, for half a second after a first call that is not counted.
    """

    def timed() -> float:
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    first, times = timed(), []
    while first < _LONG and sum(times) < _LONG:
        times.append(timed())
    return sum(times) / len(times) if times else first


class Sample(NamedTuple):
    """A timed forward pass.

    Args:
        seconds: Time in seconds per image.
        last: Last map of one image, `(1, C, h, w)`.
        taps: Its taps, `(1, D, h, w)`.
    """

    seconds: float
    last: Tensor
    taps: Tensor

    @classmethod
    def of(cls, store: FeatureStore, size: int) -> 'Sample':
        """Times a network on noise.

        Args:
            store: Empty store of the network.
            size: Side of an image in pixels.
        """
        last, taps = StoredNetwork(store), StoredNetwork(store, taps=True)
        noise = torch.randint(256, (_SAMPLE, 3, size, size), dtype=torch.uint8)
        with evaluating(store.model):
            # The first pass warms up; of the same images, the store holds all maps afterwards.
            maps = [dense_features(network, noise)[:1] for network in (last, taps)]
            return cls(seconds_of(lambda: dense_features(last, torch.randint_like(noise, 256))) / _SAMPLE, *maps)


def head_time(
    measure: LinearSegmentation, features: Tensor, train: SegmentationImages, scored: int, sizes: Sequence[int]
) -> float:
    """Returns the time in seconds of training a head and of scoring it.

    Args:
        measure: Settings of the head.
        features: Features of one image `(1, C, h, w)`.
        train: Training images.
        scored: Number of scored images.
        sizes: Sides of the scored masks in pixels.
    """
    batch, classes = min(measure.batch_size, len(train)), len(train.classes)
    head = measure.head(features.shape[1], classes).to(features.device)
    inputs, grid = features.expand(batch, -1, -1, -1), min(measure.grid, train.size)
    labels = torch.zeros(batch, grid, grid, dtype=torch.long, device=features.device)

    def step() -> None:
        F.cross_entropy(head(inputs, grid), labels).backward()

    def score() -> None:
        with torch.no_grad():
            for size in sizes:
                head(features, size).argmax(1)

    steps = measure.schedule(len(train))[0] * (len(train) // batch)
    trained = seconds_of(step)
    head.eval()
    return steps * trained + scored * seconds_of(score)


def clusters_time(features: Tensor, images: int, clusters: int, iterations: int) -> float:
    """Returns the time in seconds of k-means of all positions: distances to all centers in every iteration."""
    points, centers = torch.rand(4096, 50), torch.rand(50, clusters)
    product = seconds_of(lambda: (points @ centers).argmin(1))
    return 2 * iterations * product * images * features.shape[2] * features.shape[3] / len(points)


def lookup_time(features: Tensor, measure: Retrieval, classes: int, sizes: Sequence[int]) -> float:
    """Returns the time in seconds of labelling one image by its nearest entries of a memory.

    Args:
        features: Features of one image `(1, C, h, w)`.
        measure: Settings of the memory.
        classes: Number of classes.
        sizes: Sides of the scored masks in pixels.
    """
    memory, grid = LabelMemory(classes, features.device), features.shape[2:]
    copies = -(-measure.memory // grid.numel())
    labels = torch.zeros(copies, *grid, dtype=torch.uint8, device=features.device)
    memory.add(features.expand(copies, -1, -1, -1), labels, [()] * copies, None)
    memory.freeze()
    rows = features.flatten(2)[0].T

    def label() -> None:
        shares = memory.look_up(rows, measure.neighbors, measure.temperature).T.unflatten(1, grid)
        for size in sizes:
            enlarge(shares[None], size).argmax(1)

    return seconds_of(label)
