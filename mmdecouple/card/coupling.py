"""Pieces of a card that show probe images: one measure of coupling or recognition each."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from mmengine.dataset import pseudo_collate

from mmdecouple.card.pieces import Reading
from mmdecouple.card.timing import seconds_of
from mmdecouple.evaluation.measures.catalog import find_spec
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.probes.dataset import ProbeDataset
from mmdecouple.evaluation.run import measure_model
from mmdecouple.networks.inference import evaluating

# Measures of a card in their order, with their headings.
MEASURES = {
    'OKNN': 'OKNN and OKNN-D',
    'InterCouplingRatio': 'CR inter',
    'IntraCouplingRatio': 'CR intra',
    'ContextShift': 'context shift',
    'LSC': 'LSC',
    'SpuriousShare': 'spurious share',
    'PositionLeak': 'position leak',
}
_SAMPLE, _READ_SAMPLE = 8, 2
# Metrics that are rows although short tables do not show them.
_ALSO = ('oknn_class_mean', 'oknn_d_class_mean')
_WHOLE = ('LSC', 'SpuriousShare', 'PositionLeak')

Item = TypeVar('Item')


@dataclass(frozen=True)
class CouplingPiece:
    """One measure of the bench.

    Attributes:
        name: Registered name of the measure.
        dataset: Its probe images.
    """

    name: str
    dataset: ProbeDataset

    @property
    def title(self) -> str:
        """See `Piece`."""
        return MEASURES[self.name]

    def identity(self) -> dict[str, Any]:
        """See `Piece.identity`."""
        meta = self.dataset.metainfo
        return {key: meta[key] for key in ('manifest_sha256', 'images_sha256', 'versions')}

    def obstacle(self, reading: Reading) -> str:
        """See `Piece.obstacle`; what no network can show is left out before."""
        return ''

    def specs(self, metrics: dict[str, dict]) -> list[MetricSpec]:
        """See `Piece.specs`."""
        found = [find_spec(key) for key in metrics]
        return [spec for spec in found if spec.headline or spec.key in _ALSO or self.name in _WHOLE]

    def protocol(self, reading: Reading) -> str:
        """See `Piece.protocol`."""
        (measure,), meta = self.dataset.measures, self.dataset.metainfo
        given = {key: value for key, value in asdict(measure).items() if value is not None}
        settings = ', '.join(f'{key} = {value}' for key, value in given.items())
        size, cell = meta['settings']['size'], meta['settings']['cell']
        draws = len(self.dataset.manifest['measures'][0]['draws'])
        drawn = '1 draw' if draws == 1 else f'{draws} draws'
        return (
            f'{meta["dataset"]}, resized to {size} x {size} px, cells of {cell} px: {len(self.dataset)} probe images '
            f'of {drawn}, seed {meta["settings"]["seed"]}; {self.name}({settings}); last layer.'
        )

    def estimate(self, reading: Reading) -> float:
        """See `Piece.estimate`."""
        probes, images = _spread(range(len(self.dataset)), _SAMPLE), self.dataset.drawn_images()
        read = _spread(images, _READ_SAMPLE)

        def show() -> None:
            reading.network.model.test_step(pseudo_collate([self.dataset[index] for index in probes]))

        def decode() -> None:
            for source, image in read:
                self.dataset.sources[source].decode(image)

        # The images of the shown probes are in memory afterwards, so that their reading is timed once, by `decode`.
        for index in probes:
            _ = self.dataset[index]
        with evaluating(reading.network.model), torch.no_grad():
            shown = seconds_of(show) * len(self.dataset) / len(probes)
        return shown + seconds_of(decode) * len(images) / len(read) / max(reading.workers, 1)

    def run(self, reading: Reading) -> dict[str, Any]:
        """See `Piece.run`."""
        report = measure_model(
            reading.network.model,
            self.dataset,
            batch_size=reading.batch_size,
            num_workers=reading.workers,
            progress=lambda done, total: reading.progress(f'{self.title}: probes', done, total),
        )
        return {key: report[key] for key in ('metrics', 'values', 'groups', 'resamples', 'notes')}


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Returns at most `count` items at equal distances."""
    count = min(count, len(items))
    return [items[place] for place in ((np.arange(count) + 0.5) * len(items) / count).astype(int)]
