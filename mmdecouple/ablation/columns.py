"""Columns of ablation tables: metrics that ablations measure, and metrics of which only published values are shown."""

from collections.abc import Iterable
from dataclasses import replace

from mmdecouple.evaluation.measures.catalog import metric_specs
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.segmentation.catalog import segmentation_specs

PUBLISHED_ONLY = ('box AP', 'mask AP', 'VOC AP', 'mIoU')
_OF = ': '


def columns(data: Iterable[str] = ()) -> dict[str, MetricSpec | None]:
    """Returns a dict that maps the name of a column to its metric; None where only published values are shown.

    Segmentation is measured only on data that the table names, so without such data its columns show published values
    only. Tables state published percentages as such, times 100.

    Args:
        data: Names of the data on which a table measures its rows; their columns are named `DATA: LABEL`.
    """
    segmentation = segmentation_specs()
    coupling = {spec.label: spec for spec in metric_specs().values()}
    named = {
        f'{name}{_OF}{spec.label}': replace(spec, key=f'{name}/{spec.key}', label=f'{name}{_OF}{spec.label}')
        for name in data
        for spec in (*metric_specs().values(), *segmentation.values())
    }
    published = dict.fromkeys((*PUBLISHED_ONLY, *(spec.label for spec in segmentation.values())))
    return {**coupling, **published, **named}


def measured_columns(names: tuple[str, ...]) -> dict[str, MetricSpec]:
    """Returns those of the columns `names` that ablations measure, in the same order."""
    known = columns(dict.fromkeys(name.partition(_OF)[0] for name in names if _OF in name))
    return {name: known[name] for name in names if known[name] is not None}
