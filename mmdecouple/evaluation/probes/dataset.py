"""Data set of the probe images of all measures."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

from mmdecouple.evaluation.measures.base import NothingToMeasure
from mmdecouple.evaluation.measures.catalog import default_measures
from mmdecouple.evaluation.object_sources import ObjectDataset, ObjectSource, Sources
from mmdecouple.evaluation.probes.manifest import (
    check_references,
    digest,
    draw_manifest,
    probe_index,
    read_manifest,
    write_manifest,
)
from mmdecouple.registry import DATASETS, MEASURES
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError, shown
from mmdecouple.utils.settings import Settings


@DATASETS.register_module()
class ProbeDataset(Dataset):
    """All images that the measures show to a network, rendered on access.

    All random choices are made at construction and stored in a manifest; rendering is deterministic. Items are
    `dict(inputs=uint8 tensor (3, H, W), data_samples=BaseDataElement)`. The element holds `probe` (position in the data
    set), `measure` and `class_token` in its metainfo, and as data the regions to pool, `boxes` `(R, 4)` or `weights`
    `(R, H, W)`, and `masked` `(h, w)`, the cells for the mask token, if there are any.

    Args:
        objects: Config or instance of the object data set whose objects are scored.
        bank: Object data set of the training split, for neighbors and coupling ratios; None if there is a single split.
            If its origin is that of `objects`, an image is never its own neighbor.
        singles: Object data set of images with a single object, for pairs; None for the bank.
        measures: Configs of measures; None for all measures with their defaults.
        size: Side in pixels to which images are resized, regardless of their aspect ratio; a multiple of `cell`.
        cell: Side of a patch cell in pixels.
        seed: Seed of the draws, non-negative.
        manifest: JSON file of the draws, which is read if it exists and else written; None writes no file.
        cache: Maximum number of decoded images in memory, for each worker and data set.

    Raises:
        UserError: A setting is out of range, a measure finds no candidate, or the manifest belongs to other settings or
            data.

    Source: ICLR 2024 paper, section 5.3, appendix B and E.3.2, for the defaults of the measures.
    """

    def __init__(
        self,
        objects: dict | ObjectDataset,
        bank: dict | ObjectDataset | None = None,
        singles: dict | ObjectDataset | None = None,
        measures: Sequence[dict] | None = None,
        size: int = 224,
        cell: int = 16,
        seed: int = 0,
        manifest: str | Path | None = None,
        cache: int = 32,
    ) -> None:
        check = Settings(self, 'test_dataloader.dataset')
        check.number('cell', cell, 1, whole=True)
        check.number('size', size, 1, whole=True)
        check.number('seed', seed, 0, whole=True)
        check.number('cache', cache, 1, whole=True)
        if size % cell:
            check.refuse('size', f'must be a multiple of cell, got size {size} and cell {cell}')
        if not isinstance(measures or [], (list, tuple)):
            check.refuse('measures', f'must be a list of measures, got {shown(measures)}')
        configs = [dict(config) for config in measures or default_measures()]
        self.measures = [MEASURES.build(config) for config in configs]
        names = [measure.name for measure in self.measures]
        if len(set(names)) < len(names):
            raise UserError(
                f'ProbeDataset: each measure may appear once, got {", ".join(names)} (config key measures).'
            )
        self.sources = _build_sources(objects, bank, singles, size, cell, cache)
        if manifest is not None and os.path.exists(manifest):
            self.manifest = read_manifest(manifest, configs, self.sources, seed)
            check_references(self.manifest, self.measures, self.sources, f'manifest {manifest}')
        else:
            self.manifest = draw_manifest(self.measures, configs, self.sources, seed)
            if manifest is not None:
                write_manifest(manifest, self.manifest)
        self.index = probe_index(self.measures, [part['draws'] for part in self.manifest['measures']])
        if not len(self.index):
            notes = [note for part in self.manifest['measures'] for note in part['notes']]
            raise NothingToMeasure(f'ProbeDataset: nothing to measure: {" ".join(notes)}')

    @property
    def metainfo(self) -> dict:
        """Plain values for `CouplingMetric`: draws and settings of the measures, names and notes."""
        return dict(
            draws=[part['draws'] for part in self.manifest['measures']],
            dataset=self.sources.query.name,
            settings=dict(
                images=len(self.sources.query.images),
                size=self.sources.size,
                cell=self.sources.cell,
                seed=self.manifest['seed'],
                measures=[part['config'] for part in self.manifest['measures']],
            ),
            notes=[*self._data_notes(), *(note for part in self.manifest['measures'] for note in part['notes'])],
            manifest_sha256=digest(self.manifest),
            images_sha256=self._images_digest(),
            versions={measure.name: measure.version for measure in self.measures},
        )

    def drawn_images(self) -> list[tuple[str, int]]:
        """Returns the source and id of every image that is drawn, in order and without repetitions."""
        return sorted(
            {
                (reference.source, reference.image)
                for measure, part in zip(self.measures, self.manifest['measures'])
                for draw in part['draws']
                for reference in measure.references(draw)
            }
        )

    def _images_digest(self) -> str:
        """Returns a digest of size and time of the files of all drawn images and their objects."""
        return digest_of([(*place, self.sources[place[0]].file_facts(place[1])) for place in self.drawn_images()])

    def _data_notes(self) -> list[str]:
        data = (source.dataset for source in (self.sources.query, self.sources.bank, self.sources.singles))
        return list(dict.fromkeys(note for each in data for note in getattr(each, 'notes', ())))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> dict:
        m, d, p = (int(i) for i in self.index[index])
        measure, draw = self.measures[m], self.manifest['measures'][m]['draws'][d]
        probe = measure.render(draw, measure.probes(draw)[p], self.sources)
        sample = BaseDataElement(metainfo=dict(probe=index, measure=measure.name, class_token=probe.class_token))
        if probe.boxes is not None:
            sample.boxes = torch.from_numpy(np.ascontiguousarray(probe.boxes))
        else:
            sample.weights = torch.from_numpy(np.ascontiguousarray(probe.weights))
        if probe.masked is not None:
            sample.masked = torch.from_numpy(probe.masked)
        return dict(inputs=torch.from_numpy(probe.image.copy()).permute(2, 0, 1), data_samples=sample)


def _build_sources(
    objects: dict | ObjectDataset,
    bank: dict | ObjectDataset | None,
    singles: dict | ObjectDataset | None,
    size: int,
    cell: int,
    cache: int,
) -> Sources:
    def source(config: dict | ObjectDataset) -> ObjectSource:
        return ObjectSource(DATASETS.build(config) if isinstance(config, dict) else config, size, cache)

    query = source(objects)
    bank = query if bank is None else source(bank)
    singles = bank if singles is None else source(singles)
    for role, other in (('bank', bank), ('singles', singles)):
        if tuple(other.dataset.classes) != tuple(query.dataset.classes):
            raise UserError(
                f'ProbeDataset: {role} {other.name} and objects {query.name} have different '
                'classes; use splits of one data set.'
            )
    return Sources(size, cell, query, bank, singles)
