"""Pieces of the measurement of a run: one measure on one data set, which is measured and stored as a whole."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdecouple.evaluation.probes.manifest import RENDERING
from mmdecouple.evaluation.probes.suites import configured_probe, probe_config
from mmdecouple.evaluation.segmentation.catalog import segmentation_types
from mmdecouple.registry import MEASURES
from mmdecouple.utils.digests import digest_of


@dataclass(frozen=True)
class Piece:
    """One measure on one data set.

    Attributes:
        data: Name of the data in the table; empty for the probes of the config.
        images: Config of a `ProbeDataset` without measures; for a measure of segmentation `data` and `size` of
            `SegmentationImages`.
        measure: Config of the measure.
        segmentation: Whether it is a measure of segmentation.
    """

    data: str
    images: dict[str, Any]
    measure: dict[str, Any]
    segmentation: bool = False

    @property
    def stem(self) -> str:
        """File name of the values, derived from the images, their rendering and all settings of the measure."""
        kind = self.measure['type']
        defaults = {field.name: field.default for field in dataclasses.fields(MEASURES.get(kind))}
        facts: list[Any] = [RENDERING, self.images, {**defaults, **self.measure}]
        # Files of the first version do not state it.
        if (version := getattr(MEASURES.get(kind), 'version', 1)) > 1:
            facts.append(version)
        return f'{kind}-{digest_of(facts)[:12]}'

    def file(self, folder: Path) -> Path:
        """Returns the file of the values in the folder of a run."""
        return folder / f'{self.stem}.json'

    def key(self, metric: str) -> str:
        """Returns the key of a metric in rows, which names the data."""
        return f'{self.data}/{metric}' if self.data else metric


def pieces_of(config: Mapping[str, Any], measured: Mapping[str, Mapping[str, Any]]) -> list[Piece]:
    """Returns the pieces of a run.

    Args:
        config: Resolved config of the run.
        measured: Name of the data -> `data`, `measures` and optionally `size` and `cell`, as in a table; empty for the
            probes of the config.

    Raises:
        UserError: The data is unknown.
    """
    if not measured:
        probe = configured_probe(config)
        return [Piece('', *split) for split in _split(probe)]
    pieces, kinds = [], segmentation_types()
    for name, block in measured.items():
        images = {key: block.get(key) for key in ('data', 'size')}
        pieces += [Piece(name, images, one, True) for one in block['measures'] if one['type'] in kinds]
        others = [one for one in block['measures'] if one['type'] not in kinds]
        if others:
            sizes = {key: block.get(key) for key in ('size', 'cell')}
            probe = probe_config(block['data'], dict(config), **sizes)
            pieces += [Piece(name, *split) for split in _split({**probe, 'measures': others})]
    return pieces


def _split(probe: dict[str, Any]) -> Sequence[tuple[dict[str, Any], dict[str, Any]]]:
    images = {key: value for key, value in probe.items() if key != 'measures'}
    return [(images, dict(measure)) for measure in probe['measures']]
