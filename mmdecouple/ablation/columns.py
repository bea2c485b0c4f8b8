"""Columns of ablation tables: metrics that ablations measure, and metrics of which only published values are shown."""

from mmdecouple.evaluation.measures.catalog import metric_specs
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.segmentation.catalog import segmentation_specs

PUBLISHED_ONLY = ('box AP', 'mask AP', 'VOC AP', 'mIoU')


def columns() -> dict[str, MetricSpec | None]:
    """Returns a dict that maps the name of a column to its metric; None where only published values are shown.

    Runs of an ablation train no segmentation heads, so the columns of segmentation show published values only. Tables
    state published percentages as such, times 100.
    """
    segmentation = (spec.label for spec in segmentation_specs().values())
    return {**{spec.label: spec for spec in metric_specs().values()}, **dict.fromkeys((*PUBLISHED_ONLY, *segmentation))}


def measured_columns(names: tuple[str, ...]) -> dict[str, MetricSpec]:
    """Returns those of the columns `names` that ablations measure, in the same order."""
    known = columns()
    return {name: known[name] for name in names if known[name] is not None}
