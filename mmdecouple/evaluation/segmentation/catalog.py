"""All segmentation measures, including those of `custom_imports`, and the specs of their metrics."""

from mmdecouple.evaluation.measures.metric_spec import FURTHER, MetricSpec
from mmdecouple.evaluation.segmentation.base import SegmentationMeasure
from mmdecouple.evaluation.segmentation.head_measures import FCNSegmentation, LinearSegmentation
from mmdecouple.evaluation.segmentation.over_clustering import OverClustering
from mmdecouple.evaluation.segmentation.retrieval import Retrieval
from mmdecouple.registry import MEASURES

_SHIPPED = (LinearSegmentation, FCNSegmentation, OverClustering, Retrieval)


def segmentation_types() -> dict[str, type[SegmentationMeasure]]:
    """Returns a dict that maps the registered name of every segmentation measure to its class."""
    found = dict.fromkeys([*_SHIPPED, *MEASURES.module_dict.values()])
    return {kind.__name__: kind for kind in found if issubclass(kind, SegmentationMeasure)}


def segmentation_specs() -> dict[str, MetricSpec]:
    """Returns a dict that maps keys to the specs of all metrics of the default settings."""
    return {spec.key: spec for kind in segmentation_types().values() for spec in kind.metrics}


def find_segmentation_spec(key: str) -> MetricSpec:
    """Returns the spec of a metric, also for other settings; an unknown metric is labelled with its key."""
    found = (kind.spec_of(key) for kind in segmentation_types().values())
    return next(filter(None, found), None) or MetricSpec(
        key, key, 'Named as in the measured JSON.', 'higher', True, FURTHER, digits=2
    )


def segmentation_table() -> str:
    """Returns all metrics of the default settings as a Markdown table."""
    lines = ['| name | in tables | of `--methods` | what | best |', '| --- | --- | --- | --- | --- |']
    lines += [
        f'| `{spec.key}` | {spec.title} | `{kind.name}` | {spec.meaning} | {spec.better} |'
        for kind in segmentation_types().values()
        for spec in kind.metrics
    ]
    return '\n'.join(lines) + '\n'
