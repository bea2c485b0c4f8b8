"""What the report of a measured network holds: its metrics, their intervals, and its difference to another."""

from collections.abc import Sequence
from typing import NamedTuple

from mmdecouple.evaluation import stats
from mmdecouple.evaluation.measures.catalog import find_spec, metric_specs
from mmdecouple.evaluation.measures.spec import MetricSpec

FORMAT = 'mmdecouple-coupling/1'


class Difference(NamedTuple):
    """Value of a report minus that of the reference; `low`, `high` are None without paired values."""

    value: float
    low: float | None
    high: float | None

    @property
    def clear(self) -> bool:
        """Whether there is a 95 % interval and it leaves out zero."""
        return self.low is not None and (self.low > 0 or self.high < 0)


def shown_metrics(reports: Sequence[dict], headline: bool = False) -> list[MetricSpec]:
    """The metrics that at least one report has: those of the present measures in their order, then others.

    Args:
        reports: Measured JSON, of any version.
        headline: Whether to leave out what short tables do not show.
    """
    present = dict.fromkeys(key for report in reports for key in report['metrics'])
    known = metric_specs()
    found = [spec for key, spec in known.items() if key in present]
    found += [find_spec(key) for key in present if key not in known]
    return [spec for spec in found if spec.headline or not headline]


def metric_value(report: dict, key: str, what: str = 'value') -> float | None:
    """`value`, `low`, `high` or `count` of a metric; None where the report lacks it."""
    return report['metrics'].get(key, {}).get(what)


def metric_interval(report: dict, key: str) -> tuple[float, float] | None:
    """The 95 % interval of a metric; None where there is none, as with objects of one image only."""
    low, high = metric_value(report, key, 'low'), metric_value(report, key, 'high')
    return None if low is None or low == high else (low, high)


def difference(report: dict, reference: dict, key: str) -> Difference | None:
    """Report minus reference for one metric, with a paired 95 % interval if there can be one.

    Only means of per-item values have an interval; medians, ratios and class means, and items of one image alone, get
    the plain difference.

    Args:
        report: Measured JSON.
        reference: Another, of the same manifest.
        key: Key in `metrics`; its items stand in `values` under the same key, or for a `*_mean` over pairs under the
            key without the ending.

    Returns:
        None if one of the two lacks the metric.
    """
    here, there = metric_value(report, key), metric_value(reference, key)
    if here is None or there is None:
        return None
    items = key if key in report.get('values', {}) else key.removesuffix('_mean')
    values, others = (one.get('values', {}).get(items) for one in (report, reference))
    paired = None
    if values and others and len(values) == len(others):
        paired = stats.paired_interval(values, others, report.get('groups', {}).get(items))
    return Difference(here - there, *(paired or (None, None)))
