"""Which accuracies lead a table, and what has to be said about numbers of few or unevenly distributed items."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mmdecouple.evaluation.measures.metric_spec import MetricSpec

# Accuracies whose top-1 a constant answer can reach: beginning of the keys -> name in remarks.
_ACCURACIES = {'oknn': 'OKNN', 'oknn_d': 'OKNN-D'}
FEWEST_PER_CLASS = 20
"""Objects per class in a bank below which the class mean leads: the number of neighbors of OKNN. With fewer, the
neighbors of an object cannot all be of its class, and votes favor frequent classes."""


def lead_by_class_mean(specs: Sequence[MetricSpec], reports: Sequence[dict]) -> list[MetricSpec]:
    """Returns specs in the order of tables: a class mean leads, as a headline, where top-1 would mislead.

    It leads before its top-1 in the tables of all networks if `remarks` says so of one of them.

    Args:
        specs: Specs of the metrics in the reports.
        reports: Measured JSON.
    """
    found = list(specs)
    for prefix in _ACCURACIES:
        keys = [spec.key for spec in found]
        first, mean = f'{prefix}_top1', f'{prefix}_class_mean'
        if {first, mean} <= set(keys) and any(_reasons(report, prefix) for report in reports):
            spec = replace(found.pop(keys.index(mean)), headline=True)
            found.insert(keys.index(first), spec)
    return found


def remarks(reports: Mapping[str, dict]) -> list[str]:
    """Returns one line for each network and accuracy whose class mean leads, with the reason.

    The reasons are a bank of fewer than `FEWEST_PER_CLASS` objects per class, and a top-1 whose interval reaches down
    to the share of the majority class, which is the top-1 of a constant answer. Reports of earlier versions, which
    lack both numbers, give no line.

    Args:
        reports: Name of a network -> measured JSON.
    """
    return [
        f'{name}: the class mean of {title} leads: {" and ".join(reasons)}.'
        for name, report in reports.items()
        for prefix, title in _ACCURACIES.items()
        if (reasons := _reasons(report, prefix))
    ]


def few_items(spec: MetricSpec, report: dict) -> str:
    """Returns text such as `12 pairs` if a metric was measured on fewer items than its spec requires, else ''."""
    count = report['metrics'].get(spec.key, {}).get('count')
    return f'{count} {spec.items}' if count is not None and count < spec.fewest else ''


def _reasons(report: dict, prefix: str) -> list[str]:
    metrics, found = report['metrics'], []
    accuracy, share = metrics.get(f'{prefix}_top1'), metrics.get(f'{prefix}_majority')
    bank = metrics.get('oknn_bank_per_class')
    if accuracy is None:
        return found
    if share is not None and accuracy['low'] <= share['value']:
        where = 'within its interval of' if share['value'] <= accuracy['high'] else 'below'
        found.append(f'top-1 is {where} the share of the majority class ({100 * share["value"]:.0f} %)')
    if bank is not None and bank['value'] < FEWEST_PER_CLASS:
        found.append(f'the bank holds {bank["value"]:.1f} objects per class, fewer than {FEWEST_PER_CLASS}')
    return found
