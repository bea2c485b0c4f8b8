"""The measures as a reader meets them: label, direction, what the number means."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmdecouple.evaluation import stats

from .runs import Run

RECOGNITION = 'Does it recognize objects?'
COUPLING = 'Does it lean on context?'
FURTHER = 'Further figures'


class Difference(NamedTuple):
    """Value of a run minus that of the reference; `low`, `high` are None without paired values."""

    value: float
    low: float | None
    high: float | None

    @property
    def clear(self) -> bool:
        """Whether there is a 95 % interval and it leaves out zero."""
        return self.low is not None and (self.low > 0 or self.high < 0)


class MetricSpec(NamedTuple):
    """How one key of the measured JSON is shown.

    Attributes:
        key (str): Key in `metrics`.
        label (str): Row title.
        group (str): Table it belongs to.
        percent (bool): Shown times 100 with one digit.
        better (str): `higher`, `lower`, the value that is best (`0`, `1`), or `` where no direction is claimed.
        meaning (str): One sentence.
    """

    key: str
    label: str
    group: str
    percent: bool
    better: str
    meaning: str

    def show(self, value: float | None, sign: bool = False) -> str:
        """Return a value as the report prints it."""
        if value is None or value != value:
            return '–'
        text = f'{100 * value:+.1f}' if self.percent else f'{value:+.3f}'
        return (text if sign else text.lstrip('+')).replace('-', '−')

    @property
    def direction(self) -> str:
        """What is good, in words; empty where no direction is claimed."""
        return self.better and f'{self.better} is {"best" if self.better.isdecimal() else "better"}'

    def verdict(self, value: float, reference: float) -> str:
        """`better` or `worse` than the reference, or empty where no direction is claimed."""
        if self.better in ('higher', 'lower'):
            return 'better' if (value > reference) == (self.better == 'higher') else 'worse'
        if not self.better:
            return ''
        return 'better' if abs(value - float(self.better)) < abs(reference - float(self.better)) else 'worse'


_TOP = 'k-NN (k = 20) on object features: share of objects whose class is found'
_D = 'The same after everything outside the objects was replaced by another image'
_INTER = 'Pull of a neighbor B on object A while A is masked; 1 = the neighbor changes nothing'
_PULL = 'Cosine of A and B that B itself adds to A (centered features); 0 = nothing'
_LSC = 'Cosine of a window of cells in its image and cut out of it, mean over windows'
_INTRA = 'Change of a part of an object when the rest of it is replaced'

METRICS = (
    MetricSpec('oknn_top1', 'OKNN top-1', RECOGNITION, True, 'higher', f'{_TOP}.'),
    MetricSpec('oknn_top5', 'OKNN top-5', RECOGNITION, True, 'higher', f'{_TOP} among five.'),
    MetricSpec('oknn_class_mean', 'OKNN class mean', RECOGNITION, True, 'higher',
               f'{_TOP}, averaged over classes.'),
    MetricSpec('oknn_matched_top1', 'OKNN top-1, matched', RECOGNITION, True, 'higher',
               'OKNN on exactly the objects that OKNN-D scores.'),
    MetricSpec('oknn_d_top1', 'OKNN-D top-1', RECOGNITION, True, 'higher', f'{_D}.'),
    MetricSpec('oknn_d_top5', 'OKNN-D top-5', RECOGNITION, True, 'higher', f'{_D}; among five.'),
    MetricSpec('oknn_d_class_mean', 'OKNN-D class mean', RECOGNITION, True, 'higher',
               f'{_D}; averaged over classes.'),
    MetricSpec('oknn_gap', 'OKNN − OKNN-D', COUPLING, True, 'lower',
               'Points lost when the context is swapped (matched objects).'),
    MetricSpec('context_shift', 'Context shift', COUPLING, False, 'lower',
               '1 − centered cosine of an object feature when all around its box is swapped.'),
    MetricSpec('background_leak', 'Background leak', COUPLING, True, 'lower',
               'Background class predicted by k-NN from the object feature alone.'),
    MetricSpec('cr_inter_masked_median', 'CR inter, masked, median', COUPLING, False, '1',
               f'{_INTER} (A masked in the reference too; median of pairs).'),
    MetricSpec('cr_inter_masked_mean', 'CR inter, masked, mean', COUPLING, False, '1',
               f'{_INTER} (A masked in the reference too; mean of pairs).'),
    MetricSpec('cr_inter_masked_ratio_of_means', 'CR inter, masked, ratio of means', COUPLING, False,
               '1', f'{_INTER} (A masked in the reference too; ratio of means).'),
    MetricSpec('cr_inter_masked_dcos', 'Pull of a neighbor', COUPLING, False, '0',
               f'{_PULL}; A masked in the reference too.'),
    MetricSpec('cr_inter_clean_median', 'CR inter, clean reference, median', COUPLING, False,
               '1', f'{_INTER} (clean reference; median of pairs).'),
    MetricSpec('cr_inter_clean_mean', 'CR inter, clean reference, mean', COUPLING, False, '1',
               f'{_INTER} (clean reference; mean of pairs).'),
    MetricSpec('cr_inter_clean_ratio_of_means', 'CR inter, clean reference, ratio of means',
               COUPLING, False, '1', f'{_INTER} (clean reference; ratio of means).'),
    MetricSpec('cr_inter_clean_dcos', 'Pull of a neighbor, clean reference', COUPLING, False,
               '0', f'{_PULL}; clean reference.'),
    MetricSpec('cr_intra_cell', 'CR intra, cells', COUPLING, False, 'lower',
               f'{_INTRA}, cut along feature cells.'),
    MetricSpec('cr_intra_pixel', 'CR intra, pixel', COUPLING, False, 'lower',
               f'{_INTRA}, cut along pixels (includes leakage inside a cell).'),
    MetricSpec('lsc_mean', 'LSC', COUPLING, False, 'higher', f'{_LSC}; 1 = the rest changes nothing.'),
    MetricSpec('lsc_centered_mean', 'LSC, centered', COUPLING, False, 'higher',
               f'{_LSC}, without the direction all windows share.'),
)
HEADLINES = ('oknn_top1', 'oknn_d_top1', 'oknn_gap', 'context_shift', 'background_leak',
             'cr_inter_masked_median', 'cr_inter_masked_dcos', 'cr_intra_cell', 'lsc_mean')


def shown_metrics(runs: Sequence[Run]) -> list[MetricSpec]:
    """Return the metrics that at least one run has, known ones first, in the report's order."""
    present = {key: None for run in runs for key in run.coupling['metrics']}
    known = {spec.key for spec in METRICS}
    further = [MetricSpec(key, key, FURTHER, False, '', 'As named in the measured JSON.')
               for key in present if key not in known]
    return [spec for spec in METRICS if spec.key in present] + further


def metric_value(run: Run, key: str, what: str = 'value') -> float | None:
    """Return `value`, `low`, `high` or `count` of a metric; None where the run lacks it."""
    return run.coupling['metrics'].get(key, {}).get(what)


def metric_interval(run: Run, key: str) -> tuple[float, float] | None:
    """Return the 95 % interval of a metric; None where there is none, as with objects of one image only."""
    low, high = metric_value(run, key, 'low'), metric_value(run, key, 'high')
    return None if low is None or low == high else (low, high)


def difference_to(run: Run, reference: Run, key: str) -> Difference | None:
    """Return run minus reference for one metric, with a paired 95 % interval if there can be one.

    The interval is the percentile bootstrap of mean_i(a_i - b_i) over the same entries i of both
    runs, images resampled as a whole. Only means of per-entry values have it; medians, ratios and
    class means, and entries of one image alone, get the plain difference.

    Args:
        run (Run): Measured run.
        reference (Run): Run measured on the same manifest.
        key (str): Key in `metrics`; its entries stand in `values` under the same key, or for a
            `*_mean` over pairs under the key without the ending.

    Returns:
        Difference | None: None if one of the two lacks the metric.
    """
    here, there = metric_value(run, key), metric_value(reference, key)
    if here is None or there is None:
        return None
    entries = key if key in run.coupling.get('values', {}) else key.removesuffix('_mean')
    values, others = (item.coupling.get('values', {}).get(entries) for item in (run, reference))
    if not values or not others or len(values) != len(others):
        return Difference(here - there, None, None)
    change = np.asarray(values, np.float64) - np.asarray(others, np.float64)
    groups = run.coupling.get('groups', {}).get(entries, np.arange(len(change)))
    if len(np.unique(groups)) < 2:
        return Difference(here - there, None, None)
    found = stats.estimate(stats.mean(change), groups)
    return Difference(here - there, found.low, found.high)
