"""The columns a table may show: metrics of the measures, by their label, and figures that only papers give."""

from mmdecouple.evaluation.measures.catalog import metric_specs
from mmdecouple.evaluation.measures.spec import MetricSpec

PUBLISHED_ONLY = ('box AP', 'mask AP', 'VOC AP', 'mIoU')


def columns() -> dict[str, MetricSpec | None]:
    """Name of a column -> the metric that stands there; None for a figure that only papers give.

    Published figures of percents are written as such, times 100.
    """
    return {**{spec.label: spec for spec in metric_specs().values()}, **dict.fromkeys(PUBLISHED_ONLY)}


def measured_columns(names: tuple[str, ...]) -> dict[str, MetricSpec]:
    """Of some columns those that are measured here, in their order."""
    known = columns()
    return {name: known[name] for name in names if known[name] is not None}
