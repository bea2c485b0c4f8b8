"""Segmentation by retrieval: every patch takes the labels of its nearest patches in a memory of training images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmdecouple.evaluation.measures.metric_spec import SEGMENTATION, MetricSpec
from mmdecouple.evaluation.run import one_thread
from mmdecouple.evaluation.segmentation.base import (
    Runtime,
    SegmentationResult,
    TalliedMeasure,
    Tallies,
    dense_features,
    device_of,
    feature_batches,
    score_specs,
)
from mmdecouple.evaluation.segmentation.images import SegmentationImages, shrink_labels
from mmdecouple.evaluation.segmentation.label_memory import LabelMemory, MemoryImages, key_seed
from mmdecouple.evaluation.segmentation.label_sources import IGNORE
from mmdecouple.evaluation.segmentation.scoring import count_pairs, tally
from mmdecouple.evaluation.stats import difference
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

_NAMES = ('retrieval', 'retrieval_d')
_WHAT = 'patches labelled by their nearest patches of training images'
_GAP = MetricSpec(
    'retrieval_gap_miou',
    'mIoU retrieval - retrieval-D',
    'mIoU that is lost when everything around a region is replaced by another image: the larger, the more the features '
    'of a region depend on its surroundings.',
    'lower',
    True,
    SEGMENTATION,
    digits=2,
)


@MEASURES.register_module()
@dataclass
class Retrieval(TalliedMeasure):
    """mIoU of in-context segmentation (`retrieval_*`), and with foreign surroundings (`retrieval_d_*`).

    A memory holds `memory` patches of the training images, each with the shares of the classes among its pixels. A
    patch of a validation image takes the shares of its `neighbors` nearest entries, weighted by softmax(cosine /
    `temperature`); the map of shares is enlarged bilinearly to `grid` x `grid`, and each pixel takes the largest.

    Retrieval-D asks the same of every region in foreign surroundings: the classes of a validation image are divided
    into `groups`, and for each group all other pixels are replaced by another validation image of the same size. Only
    the pixels of the group are scored, so each labelled pixel is scored once, as without replacement, and the
    difference of the two mIoU (`retrieval_gap_miou`) is due to the surroundings.

    Args:
        memory: Number of entries of the memory, divided equally among the training images; None for all patches. An
            entry takes 4 (D + C) bytes for D channels and C classes.
        neighbors: Number k of nearest entries.
        temperature: Temperature of the softmax.
        augment: Whether the training images are randomly cropped and their colors changed, see `MemoryImages`.
        epochs: Number of passes over the training images, each with new crops.
        grid: Side in pixels at which pixels are counted; None for the side of the images.
        foreign: Whether retrieval-D is measured.
        groups: Number of groups of classes per image; None for one group per class, the strictest and slowest.
        seeds: Number of memories and of draws, with seeds 0, 1, ...

    Raises:
        SettingError: A setting is out of range.

    Source: Balažević et al., *Towards In-Context Scene Understanding* (NeurIPS 2023), section 3, with the settings of
    `vpariza/open-hummingbird-eval` 2.0: 30 neighbors, temperature 0.02, one pass. There, pixels to ignore count as
    class 0 in the memory; here they are left out. There, predicted classes are matched with true ones before they are
    scored; here they are scored as they are.
    """

    name = 'retrieval'
    metrics = (
        *score_specs('retrieval', 'retrieval', _WHAT, headline=True),
        *score_specs('retrieval_d', 'retrieval-D', f'{_WHAT}, in foreign surroundings', headline=True),
        _GAP,
    )
    memory: int | None = 102400
    neighbors: int = 30
    temperature: float = 0.02
    augment: bool = True
    epochs: int = 1
    grid: int | None = None
    foreign: bool = True
    groups: int | None = None
    seeds: int = 1

    def __post_init__(self) -> None:
        settings = Settings(self)
        for key in ('memory', 'neighbors', 'epochs', 'grid', 'groups', 'seeds'):
            optional = key in ('memory', 'grid', 'groups')
            settings.number(key, getattr(self, key), 1, whole=True, optional=optional)
        settings.number('temperature', self.temperature, above=0)

    def check(self, train: SegmentationImages, val: SegmentationImages, positions: int) -> None:
        """See `SegmentationMeasure.check`.

        Raises:
            UserError: `memory` is smaller than the number of training images, or there is a single validation image, so
                that no other image can surround its regions.
        """
        super().check(train, val, positions)
        if self.memory is not None and self.memory < len(train) * self.epochs:
            raise UserError(
                f'Retrieval: memory = {self.memory} cannot hold a patch of each of {len(train)} training images; '
                'limit the images (--limit), or enlarge it (key memory of the measure).'
            )
        if self.foreign and len(val) < 2:
            raise UserError(
                'Retrieval: foreign surroundings need at least two validation images; use more images (--limit), or '
                'other methods (--methods; key foreign of the measure).'
            )

    def scored_size(self, val: SegmentationImages) -> int:
        """See `TalliedMeasure.scored_size`."""
        return self.grid or val.size

    def run(
        self, model: nn.Module, train: SegmentationImages, val: SegmentationImages, runtime: Runtime
    ) -> SegmentationResult:
        """See `SegmentationMeasure.run`."""
        result = super().run(model, train, val, runtime)
        if self.foreign:
            pairs = zip(*(result.values[f'{name}_miou'] for name in _NAMES))
            result.values[_GAP.key] = [plain - swapped for plain, swapped in pairs]
            result.estimates[_GAP.key] = difference(*(result.estimates[f'{name}_miou'] for name in _NAMES))
        return result

    def tally(
        self,
        model: nn.Module,
        train: SegmentationImages,
        val: SegmentationImages,
        runtime: Runtime,
        sizes: Sequence[int],
    ) -> Tallies:
        """See `TalliedMeasure.tally`.

        Raises:
            UserError: No patch of the training images has a labelled pixel.
        """
        found: dict[str, dict[int, list[np.ndarray]]] = {}
        for seed in range(self.seeds):
            memory = self._fill(model, train, runtime, seed)
            queries = {'retrieval': Queries(val)}
            if self.foreign:
                queries['retrieval_d'] = ForeignSurroundings(val, seed, self.groups)
            for name, images in queries.items():
                for size, counts in self._score(model, name, images, memory, runtime, sizes).items():
                    found.setdefault(name, {}).setdefault(size, []).append(counts)
        counts = {name: {size: np.stack(each) for size, each in by_size.items()} for name, by_size in found.items()}
        return Tallies(counts, [f'retrieval: {len(memory)} entries in the memory.'])

    def _fill(self, model: nn.Module, train: SegmentationImages, runtime: Runtime, seed: int) -> LabelMemory:
        memory = LabelMemory(len(train.classes), device_of(model))
        per_image = None if self.memory is None else self.memory // (len(train) * self.epochs)
        done = 0
        for epoch in range(self.epochs):
            images = MemoryImages(train, seed, epoch) if self.augment else train
            for features, labels in feature_batches(model, images, runtime):
                first = done - epoch * len(train)
                keys = [(seed, epoch, index) for index in range(first, first + len(labels))]
                memory.add(features, labels, keys, per_image)
                done += len(labels)
                runtime.progress('retrieval: memory', done, len(train) * self.epochs)
        memory.freeze()
        return memory

    def _score(
        self,
        model: nn.Module,
        name: str,
        images: 'Queries',
        memory: LabelMemory,
        runtime: Runtime,
        sizes: Sequence[int],
    ) -> dict[int, np.ndarray]:
        """Returns the counts `(images, 3, C)` at every size."""
        counts = {size: np.zeros((len(images), 3, memory.classes), np.int64) for size in sizes}
        for batch in _batches(images, name, runtime):
            places, *parts = zip(*batch)
            pixels, labels = (torch.stack(part).to(memory.device) for part in parts)
            features, shrunk = dense_features(model, pixels), {size: shrink_labels(labels, size) for size in sizes}
            cells = features.permute(0, 2, 3, 1)
            needed = torch.stack([_needed(label != IGNORE, cells.shape[1:3]) for label in shrunk.values()]).any(0)
            shares = cells.new_zeros(*cells.shape[:3], memory.classes)
            shares[needed] = memory.look_up(cells[needed], self.neighbors, self.temperature)
            for index, (place, share) in enumerate(zip(places, shares.permute(0, 3, 1, 2))):
                for size in sizes:
                    large = F.interpolate(share[None], size=(size, size), mode='bilinear')[0]
                    pairs = count_pairs(large.argmax(0), shrunk[size][index], memory.classes, memory.classes)
                    counts[size][place] += tally(pairs).cpu().numpy()
        return counts


class Queries(Dataset):
    """The validation images as they are: item i is a pair of lists with one image and one label map.

    Args:
        val: Validation images.
    """

    def __init__(self, val: SegmentationImages) -> None:
        self.val = val

    def __len__(self) -> int:
        return len(self.val)

    def __getitem__(self, index: int) -> list[tuple[Tensor, Tensor]]:
        """Returns pairs of uint8 images `(3, S, S)` and labels `(S, S)`, of which each labelled pixel is in one."""
        return [self.val[index]]


class ForeignSurroundings(Queries):
    """Each group of classes of a validation image on another one, with the labels of the group alone.

    Args:
        val: Validation images, at least 2.
        seed: Seed of the other image and of the groups.
        groups: Number of groups; None for one per class.
    """

    def __init__(self, val: SegmentationImages, seed: int, groups: int | None) -> None:
        super().__init__(val)
        self.seed, self.groups = seed, groups

    def __getitem__(self, index: int) -> list[tuple[Tensor, Tensor]]:
        """See `Queries`; an image without labels gives none."""
        image, labels = self.val[index]
        generator = torch.Generator().manual_seed(key_seed((self.seed, index)))
        other = (index + int(torch.randint(1, len(self.val), (), generator=generator))) % len(self.val)
        surroundings = self.val[other][0]
        present = labels.unique()
        present = present[present != IGNORE]
        present = present[torch.randperm(len(present), generator=generator)]
        kept = [torch.isin(labels, group) for group in present.tensor_split(self.groups or len(present) or 1)]
        return [
            (torch.where(keep, image, surroundings), labels.masked_fill(~keep, IGNORE)) for keep in kept if keep.any()
        ]


def _needed(scored: Tensor, grid: tuple[int, int]) -> Tensor:
    """Returns bool `(B, h, w)`: cells from which the shares of a scored pixel `(B, S, S)` are interpolated."""
    near = F.adaptive_max_pool2d(scored[:, None].float(), grid)
    return F.max_pool2d(near, 3, stride=1, padding=1)[:, 0] > 0


def _batches(images: Queries, name: str, runtime: Runtime) -> Iterator[list[tuple[int, Tensor, Tensor]]]:
    """Yields batches of the index of a validation image, an image and its label map."""
    loader = DataLoader(
        images,
        batch_size=None,
        collate_fn=list,
        num_workers=runtime.num_workers,
        generator=torch.Generator(),
        worker_init_fn=one_thread,
    )
    waiting: list[tuple[int, Tensor, Tensor]] = []
    for index, items in enumerate(loader):
        waiting += [(index, *item) for item in items]
        while len(waiting) >= runtime.batch_size or (waiting and index + 1 == len(images)):
            yield waiting[: runtime.batch_size]
            waiting = waiting[runtime.batch_size :]
        runtime.progress(f'{name}: queries', index + 1, len(images))
