"""All measures that there are, those of `custom_imports` included, and what their metrics are called."""

from mmdecouple.evaluation.measures.background_leak import BackgroundLeak
from mmdecouple.evaluation.measures.base import Measure
from mmdecouple.evaluation.measures.context_shift import ContextShift
from mmdecouple.evaluation.measures.inter_coupling import InterCouplingRatio
from mmdecouple.evaluation.measures.intra_coupling import IntraCouplingRatio
from mmdecouple.evaluation.measures.lsc import LSC
from mmdecouple.evaluation.measures.oknn import OKNN
from mmdecouple.evaluation.measures.spec import FURTHER, MetricSpec
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

# The order in which measures are drawn and listed; those from elsewhere follow.
_SHIPPED = (OKNN, InterCouplingRatio, IntraCouplingRatio, ContextShift, BackgroundLeak, LSC)


def measure_types() -> dict[str, type[Measure]]:
    """Registered name -> class of every measure of coupling."""
    found = dict.fromkeys([*_SHIPPED, *MEASURES.module_dict.values()])
    return {kind.__name__: kind for kind in found if issubclass(kind, Measure)}


def default_measures() -> list[dict]:
    """Configs of all measures with their default settings."""
    return [dict(type=name) for name in measure_types()]


def metric_specs() -> dict[str, MetricSpec]:
    """Key -> spec of every metric that a measure can give.

    Raises:
        UserError: Two measures give a metric of one key or one label.
    """
    found: dict[str, MetricSpec] = {}
    owners: dict[str, str] = {}
    for name, kind in measure_types().items():
        for spec in kind.specs():
            for word in (spec.key, spec.label):
                if owners.setdefault(word, name) != name or spec.key in found:
                    raise UserError(
                        f'Measures {owners[word]} and {name} both have a metric {word!r}; give the key and '
                        f'the label of one another name (metrics of class {name}).'
                    )
            found[spec.key] = spec
    return found


def find_spec(key: str) -> MetricSpec:
    """Spec of a metric; one that no present measure gives is shown by its key."""
    return metric_specs().get(key) or MetricSpec(key, key, 'As named in the measured JSON.', group=FURTHER)


def markdown_table() -> str:
    """All metrics as Markdown: key, label, measure, meaning, direction; then the variants."""
    lines = ['| name | in tables | of `--measures` | what | best |', '| --- | --- | --- | --- | --- |']
    variants = ['| name | of `--measures` | label ends with |', '| --- | --- | --- |']
    for name, kind in measure_types().items():
        lines += [
            f'| `{spec.key}` | {spec.title} | `{name}` | {spec.meaning} | {spec.better} |' for spec in kind.metrics
        ]
        variants += [f'| `{other}_*` | `{name}` | {suffix} |' for other, suffix in kind.variants.items()]
    return '\n'.join([*lines, '', *variants]) + '\n'
