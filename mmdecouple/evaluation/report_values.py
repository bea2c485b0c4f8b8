"""Reading of reports: metrics, their intervals, and differences between two reports."""

from collections.abc import Sequence
from typing import NamedTuple

from mmdecouple.evaluation import stats
from mmdecouple.evaluation.headlines import lead_by_class_mean
from mmdecouple.evaluation.measures.catalog import find_spec, metric_specs
from mmdecouple.evaluation.measures.metric_spec import MetricSpec

FORMAT = 'mmdecouple-coupling/1'


class Difference(NamedTuple):
    """Difference of a metric between a report and its reference.

    Args:
        value: Value of the report minus that of the reference.
        low: Lower end of the paired 95 % interval; None without paired values.
        high: Upper end of the interval; None without paired values.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def clear(self) -> bool:
        """Whether there is a 95 % interval that excludes zero."""
        return self.low is not None and (self.low > 0 or self.high < 0)


def shown_metrics(reports: Sequence[dict], headline: bool = False) -> list[MetricSpec]:
    """Returns the specs of all metrics in the reports: those of known measures in their order, then others.

    A class mean leads where top-1 would mislead, see `lead_by_class_mean`.

    Args:
        reports: Measured JSON, of any version.
        headline: Whether to restrict the result to metrics that short tables show.
    """
    present = dict.fromkeys(key for report in reports for key in report['metrics'])
    known = metric_specs()
    found = [spec for key, spec in known.items() if key in present]
    found += [find_spec(key) for key in present if key not in known]
    return [spec for spec in lead_by_class_mean(found, reports) if spec.headline or not headline]


def metric_value(report: dict, key: str, what: str = 'value') -> float | None:
    """Returns the entry `what` (`value`, `low`, `high` or `count`) of a metric; None if the report lacks it."""
    return report['metrics'].get(key, {}).get(what)


def metric_interval(report: dict, key: str) -> tuple[float, float] | None:
    """Returns the 95 % interval of a metric; None without an interval, as for objects of a single image."""
    low, high = metric_value(report, key, 'low'), metric_value(report, key, 'high')
    return None if low is None or low == high else (low, high)


def difference(report: dict, reference: dict, key: str) -> Difference | None:
    """Returns the difference of a metric between two reports, with a paired 95 % interval where possible.

    Items of a single image have the plain difference, and so have metrics other than means in reports of earlier
    versions, which lack `resamples`.

    Args:
        report: Measured JSON.
        reference: Measured JSON of the same manifest.
        key: Key in `metrics`.

    Returns:
        The difference; None if one of the reports lacks the metric.
    """
    here, there = metric_value(report, key), metric_value(reference, key)
    if here is None or there is None:
        return None
    items, paired = items_key(report, key), None
    part = 'resamples' if items is None else 'values'
    values, others = (one.get(part, {}).get(items or key) for one in (report, reference))
    if values and others and len(values) == len(others):
        if items is None:
            paired = stats.resampled_interval(values, others)
        else:
            paired = stats.paired_interval(values, others, report.get('groups', {}).get(items))
    return Difference(here - there, *(paired or (None, None)))


def items_key(report: dict, key: str) -> str | None:
    """Returns the key in `values` of the items whose mean a metric is; None if it is another statistic.

    It is the key of the metric or, for a `*_mean` over pairs, that key without this ending.
    """
    return next((name for name in (key, key.removesuffix('_mean')) if name in report.get('values', {})), None)
