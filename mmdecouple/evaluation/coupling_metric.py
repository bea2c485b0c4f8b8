"""Metric of mmengine over a `ProbeDataset`: pools dense maps and scores all measures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmdecouple.evaluation.measures.base import Measure, Score
from mmdecouple.evaluation.pooling import pool_regions
from mmdecouple.evaluation.probes.manifest import probe_index
from mmdecouple.evaluation.report_values import FORMAT, items_key
from mmdecouple.registry import MEASURES, METRICS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_json


@METRICS.register_module()
class CouplingMetric(BaseMetric):
    """Scores every measure of a `ProbeDataset` and optionally writes the full report as JSON.

    Features are pooled image by image in float32, so that values do not depend on the batch size or the number of
    ranks. Samples that a sampler repeats to fill up ranks are dropped.

    Args:
        json: File of the report; None writes no file.
        config: Name of the model's config, for the report.
        checkpoint: Path of its weights, for the report; None for an untrained network.
        prefix: Prefix of the names in the log.

    Attributes:
        report: Report of the last evaluation, in the main process only.
    """

    default_prefix = 'coupling'

    def __init__(
        self,
        json: str | Path | None = None,
        config: str | None = None,
        checkpoint: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device='cpu', prefix=prefix)
        self.json, self.config, self.checkpoint = json, config, checkpoint
        self.report: dict | None = None
        self._device = torch.device('cpu')

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Pools the features of one batch.

        Args:
            data_batch: Batch of a `ProbeDataset`, collated by `pseudo_collate`.
            data_samples: Predictions of the model as dicts, each with `dense` `(C, h, w)`.

        Raises:
            UserError: A feature is not finite.
        """
        requests, maps = data_batch['data_samples'], [sample['dense'].detach() for sample in data_samples]
        sizes = [tuple(image.shape[-2:]) for image in data_batch['inputs']]
        pooled = [pool_regions([dense], request, size)[0] for dense, request, size in zip(maps, requests, sizes)]
        self.add([int(request.probe) for request in requests], pooled)

    def add(self, probes: Sequence[int], pooled: Sequence[Tensor]) -> None:
        """Adds the pooled features of one batch.

        Args:
            probes: Positions of the images in the data set.
            pooled: Features of the regions of each image, `(R, C)`, on the device of the model.

        Raises:
            UserError: A feature is not finite.
        """
        self._device = pooled[0].device
        rows = torch.cat([*pooled]).cpu().numpy()
        if not np.isfinite(rows).all():
            raise UserError(
                'CouplingMetric: the network computes features that are not finite; '
                'check that its weights are intact, or use a higher precision.'
            )
        parts = np.split(rows, np.cumsum([len(part) for part in pooled])[:-1])
        self.results += zip(probes, parts)

    def compute_metrics(self, results: list[tuple[int, np.ndarray]]) -> dict[str, float]:
        """Scores the pooled features of all ranks.

        Args:
            results: Pairs of a position in the data set and its features `(R, C)`, in any order, possibly repeated.

        Returns:
            Key -> value of every metric.

        Raises:
            UserError: A probe is missing, or a measure returns a metric without a `MetricSpec`.
        """
        meta, features = self.dataset_meta, dict(results)
        measures = [MEASURES.build(dict(config)) for config in meta['settings']['measures']]
        index = probe_index(measures, meta['draws'])
        missing = len(index) - len(features)
        if missing:
            raise UserError(
                f'CouplingMetric: {missing} of {len(index)} probes were not shown to the '
                'network; use a sampler that covers the whole data set.'
            )
        grouped: list[list[list]] = [[[] for _ in draws] for draws in meta['draws']]
        for position, (m, d, _) in enumerate(index):
            grouped[m][d].append(torch.from_numpy(features[position]))
        scores = [
            _score(measure, draws, rows, self._device)
            for measure, draws, rows in zip(measures, meta['draws'], grouped)
            if draws
        ]
        self.report = self._report(scores, meta, _zero_notes(measures, index, features))
        if self.json is not None:
            write_json(self.json, self.report)
        return {name: entry['value'] for name, entry in self.report['metrics'].items()}

    def _report(self, scores: list[Score], meta: dict[str, Any], notes: list[str]) -> dict:
        report = dict(
            format=FORMAT,
            config=self.config,
            checkpoint=self.checkpoint,
            dataset=meta['dataset'],
            manifest_sha256=meta['manifest_sha256'],
            images_sha256=meta['images_sha256'],
            versions=meta['versions'],
            **meta['settings'],
            notes=[*meta['notes'], *notes],
        )
        for part in ('metrics', 'histograms', 'curves', 'values', 'groups'):
            report[part] = {name: value for score in scores for name, value in getattr(score, part).items()}
        values = report['metrics']
        # The resamples of means follow from `values`.
        report['resamples'] = {
            key: [float(f'{entry:.6g}') for entry in value.resamples]
            for key, value in values.items()
            if items_key(report, key) is None
        }
        report['metrics'] = {name: value.entry() for name, value in values.items()}
        return report


def _zero_notes(measures: list[Measure], index: np.ndarray, features: dict[int, np.ndarray]) -> list[str]:
    """Returns a remark for each measure of whose features `(R, C)` some are zero, which have no direction."""
    notes = []
    for place, measure in enumerate(measures):
        rows = [features[position] for position in np.flatnonzero(index[:, 0] == place)]
        zero, count = sum(int((~each.any(1)).sum()) for each in rows), sum(map(len, rows))
        if zero:
            notes.append(f'{type(measure).__name__}: {zero} of {count} features are zero in every channel.')
    return notes


def _score(measure: Measure, draws: list[dict], features: list[list[Tensor]], device: torch.device) -> Score:
    score = measure.score(draws, features, device)
    known = {spec.key for spec in measure.specs()}
    unknown = [key for key in score.metrics if key not in known]
    if unknown:
        raise UserError(
            f'{type(measure).__name__}: it returns the metric {unknown[0]!r}, which has no MetricSpec; add one to the '
            'metrics of the class.'
        )
    return score
