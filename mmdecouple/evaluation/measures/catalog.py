"""All measures of coupling, including those of `custom_imports`, and the specs of their metrics."""

from mmdecouple.evaluation.measures.background_leak import BackgroundLeak
from mmdecouple.evaluation.measures.base import Measure
from mmdecouple.evaluation.measures.context_shift import ContextShift
from mmdecouple.evaluation.measures.inter_coupling import InterCouplingRatio
from mmdecouple.evaluation.measures.intra_coupling import IntraCouplingRatio
from mmdecouple.evaluation.measures.lsc import LSC
from mmdecouple.evaluation.measures.metric_spec import FURTHER, MetricSpec
from mmdecouple.evaluation.measures.oknn import OKNN
from mmdecouple.evaluation.measures.position_leak import PositionLeak
from mmdecouple.evaluation.measures.spurious_share import SpuriousShare
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

# The order in which measures are drawn and listed; measures of `custom_imports` follow.
_SHIPPED = (
    OKNN,
    InterCouplingRatio,
    IntraCouplingRatio,
    ContextShift,
    BackgroundLeak,
    LSC,
    PositionLeak,
    SpuriousShare,
)


def measure_types() -> dict[str, type[Measure]]:
    """Returns a dict that maps the registered name of every measure of coupling to its class."""
    found = dict.fromkeys([*_SHIPPED, *MEASURES.module_dict.values()])
    return {kind.__name__: kind for kind in found if issubclass(kind, Measure)}


def standard_measures() -> dict[str, type[Measure]]:
    """Returns those of `measure_types` that are used if no measure is named."""
    return {name: kind for name, kind in measure_types().items() if kind.standard}


def default_measures() -> list[dict]:
    """Returns configs of all standard measures with their default settings."""
    return [dict(type=name) for name in standard_measures()]


def metric_specs() -> dict[str, MetricSpec]:
    """Returns a dict that maps keys to the specs of all metrics of all measures, with any settings.

    Raises:
        UserError: Two measures have a metric with the same key or label.
    """
    found: dict[str, MetricSpec] = {}
    owners: dict[str, str] = {}
    for name, kind in measure_types().items():
        for spec in kind.specs():
            for term in (spec.key, spec.label):
                if owners.setdefault(term, name) != name or spec.key in found:
                    raise UserError(
                        f'Measures {owners[term]} and {name} both have a metric {term!r}; change the key and '
                        f'the label of one of them (metrics of class {name}).'
                    )
            found[spec.key] = spec
    return found


def find_spec(key: str) -> MetricSpec:
    """Returns the spec of a metric; a metric of no known measure is labelled with its key."""
    return metric_specs().get(key) or MetricSpec(key, key, 'Named as in the measured JSON.', group=FURTHER)


def markdown_table() -> str:
    """Returns all metrics as a Markdown table, followed by a table of the variants."""
    lines = ['| name | in tables | of `--measures` | what | best |', '| --- | --- | --- | --- | --- |']
    variants = ['| name | of `--measures` | label ends with |', '| --- | --- | --- |']
    for name, kind in measure_types().items():
        lines += [
            f'| `{spec.key}` | {spec.title} | `{name}` | {spec.meaning} | {spec.better} |' for spec in kind.metrics
        ]
        variants += [f'| `{other}_*` | `{name}` | {suffix} |' for other, suffix in kind.variants.items()]
    return '\n'.join([*lines, '', *variants]) + '\n'
