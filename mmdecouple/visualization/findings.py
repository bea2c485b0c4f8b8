"""Findings of a comparison in sentences: which runs are compared, how a metric changed, and with what caveats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmdecouple.evaluation.headlines import few_items
from mmdecouple.evaluation.measures.metric_spec import COUPLING, RECOGNITION, MetricSpec
from mmdecouple.evaluation.report_values import Difference, difference, metric_value, shown_metrics

from .runs import Run

# The metric of the first sentence, in order of preference; other headline metrics of coupling follow.
_LEADING = ('context_shift', 'context_shift_regions')
# Parts of a config that change what a training learns.
_TRAINING = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'randomness')
_MOST_KEYS = 4
_LESSONS = {
    'control': 'The control has the same loss at the same positions with nothing mixed in, so the difference is due '
    'to the foreign background.',
    'base': 'The base is the same method without the branch, so the difference is due to the additional loss, the '
    'foreign background, or both.',
    'untrained': 'The features of an untrained network can look uncoupled while they recognize few objects; read both '
    'kinds of values together.',
    'other': '',
}


def role_of(run: Run) -> str:
    """Returns the role of a run, read from its config.

    Returns:
        `untrained` without weights; `decoupled` with a de-coupling branch that mixes backgrounds; `control` with a
        branch that mixes nothing; `base` without a branch, or with one of weight 0.
    """
    if not run.trained:
        return 'untrained'
    branch = _model(run).get('decoupling')
    if not branch or branch.get('loss_weight') == 0:
        return 'base'
    return 'control' if branch.get('background') == 'none' else 'decoupled'


@dataclass(frozen=True)
class Comparison:
    """Two runs that are compared.

    Attributes:
        run: Run that is judged.
        reference: Run to which differences refer.
        kind: `control`, `base` or `untrained`, the role of the reference, or `other` for runs of other relations.
    """

    run: Run
    reference: Run
    kind: str

    @property
    def lesson(self) -> str:
        """What the difference can be due to; empty if nothing is known."""
        return _LESSONS[self.kind]

    @property
    def verdict(self) -> str:
        """Verdict of the first metric of the sentence, see `Judgement`; empty without metrics."""
        return next((found.verdict for found in self.leading()), '')

    def leading(self) -> list['Judgement']:
        """Returns how the metrics of the sentence changed: one of coupling and one of recognition, if measured."""
        specs = shown_metrics([self.run.coupling, self.reference.coupling], headline=True)
        judged = [found for spec in specs if (found := judge(spec, self.run, self.reference)) is not None]
        coupling = sorted(
            (found for found in judged if found.spec.group == COUPLING),
            key=lambda found: (found.spec.key not in _LEADING, found.gap.low is None),
        )
        return coupling[:1] + [found for found in judged if found.spec.group == RECOGNITION][:1]

    def sentence(self) -> str:
        """Returns what was found: how coupling changed, and how recognition did, each with its interval."""
        chosen, names = self.leading(), (self.run.name, self.reference.name)
        if not chosen:
            return f'No headline measure was computed for both {names[0]} and {names[1]}.'
        text = '; '.join([chosen[0].clause(*names), *(found.clause() for found in chosen[1:])])
        return f'{text[0].upper()}{text[1:]}.'

    def other_differences(self) -> list[str]:
        """Returns the keys of the trainings' configs that differ, besides those that this comparison is about."""
        if self.kind == 'untrained':
            return []
        about = 'model.decoupling.background' if self.kind == 'control' else 'model.decoupling'
        here, there = (dict(_leaves(_training(run))) for run in (self.run, self.reference))
        return [
            key
            for key in dict.fromkeys([*here, *there])
            if here.get(key) != there.get(key) and not f'{key}.'.startswith(f'{about}.')
        ]


def comparisons(runs: Sequence[Run]) -> list[Comparison]:
    """Returns the comparisons of a report in their order; the first is that of its first sentence.

    Every run with de-coupling is compared with the control of its method, then with the base, then with the untrained
    network. Without such runs, the second trained run is compared with the first, and both with the untrained network.

    Args:
        runs: Runs of the report in their order.
    """
    by_role: dict[str, list[Run]] = {role: [] for role in ('decoupled', 'control', 'base', 'untrained')}
    for run in runs:
        by_role[role_of(run)].append(run)
    found = []
    for run in by_role['decoupled']:
        for kind in ('control', 'base'):
            same = [other for other in by_role[kind] if _model(other).get('type') == _model(run).get('type')]
            found += [Comparison(run, other, kind) for other in same[:1]]
    trained = [run for run in runs if run.trained]
    if not found and len(trained) > 1:
        found = [Comparison(trained[1], trained[0], 'other')]
    judged = {run.name: run for run in [one.run for one in found] or trained[:1]}
    return found + [
        Comparison(run, other, 'untrained') for run in judged.values() for other in by_role['untrained'][:1]
    ]


@dataclass(frozen=True)
class Judgement:
    """How a metric differs between two runs.

    Attributes:
        spec: The metric.
        value: Value of the run that is judged.
        reference: Value of the reference.
        gap: Their difference.
        verdict: `better` or `worse` if the interval of the difference excludes zero and the difference is visible;
            `open` if not; empty without an interval, or for a metric without a direction.
        few: Number of items, such as `12 pairs`, if there are few; else empty.
    """

    spec: MetricSpec
    value: float
    reference: float
    gap: Difference
    verdict: str
    few: str = ''

    def difference_text(self) -> str:
        """Returns the difference with its interval, such as `+0.092, 95 % interval +0.072 to +0.110`."""
        if self.gap.low is None:
            return f'{self.spec.text(self.gap.value, sign=True)}, no interval'
        interval = f'{self.spec.show(self.gap.low, sign=True)} to {self.spec.show(self.gap.high, sign=True)}'
        return f'{self.spec.text(self.gap.value, sign=True)}, 95 % interval {interval}'

    def clause(self, run: str = '', reference: str = '') -> str:
        """Returns the change as a clause, such as `context shift rose from 0.312 to 0.404 (+0.092, ...)`.

        Args:
            run: Name of the run, which is named after its value; empty for none.
            reference: Name of the reference.
        """
        before, after = (
            f'{self.spec.text(value)}{f" ({name})" if name else ""}'
            for value, name in ((self.reference, reference), (self.value, run))
        )
        moved = 'rose' if self.gap.value > 0 else 'fell'
        if self.gap.low is None:
            change = f'was {before} and is {after}'
        elif self.gap.clear and self.visible:
            change = f'{moved} from {before} to {after}'
        else:
            change = f'did not change clearly, from {before} to {after}'
        label, _, variant = self.spec.label.partition(', ')
        few = self.few and f'; {self.few}'
        return f'{label}{f" ({variant})" if variant else ""} {change} ({self.difference_text()}{few})'

    @property
    def visible(self) -> bool:
        """Whether the difference does not round to zero."""
        return self.spec.show(self.gap.value).strip('0.') != ''


def judge(spec: MetricSpec, run: Run, reference: Run) -> Judgement | None:
    """Returns how a metric of a run differs from that of the reference; None if one of them lacks it."""
    gap = difference(run.coupling, reference.coupling, spec.key)
    if gap is None:
        return None
    value, other = (metric_value(one.coupling, spec.key) for one in (run, reference))
    few = few_items(spec, run.coupling) or few_items(spec, reference.coupling)
    found = Judgement(spec, value, other, gap, '', few)
    if gap.low is None or not spec.better:
        return found
    clear = gap.clear and found.visible
    return replace(found, verdict=spec.verdict(value, other) if clear else 'open')


def caveats(comparison: Comparison) -> list[str]:
    """Returns what restricts the finding of a comparison."""
    found = [
        'One training run per network: another seed can give another difference. The intervals cover the choice of '
        'the measured images, not the training.'
    ]
    if not any(judged.spec.group == RECOGNITION for judged in comparison.leading()):
        found.append(
            'Recognition was not measured: a network that depends less on context may also recognize less. Annotated '
            'images show both.'
        )
    if keys := comparison.other_differences():
        more = f' and {len(keys) - _MOST_KEYS} more' if len(keys) > _MOST_KEYS else ''
        found.append(f'The two trainings also differ in {", ".join(keys[:_MOST_KEYS])}{more} (keys of their configs).')
    return found


def _model(run: Run) -> dict:
    return (run.config or {}).get('model') or {}


def _training(run: Run) -> dict:
    return {key: run.config[key] for key in _TRAINING if key in (run.config or {})}


def _leaves(value: Any, key: str = '') -> Iterator[tuple[str, Any]]:
    """Yields the dotted key and the value of everything in a config that is neither a dict nor a list."""
    if isinstance(value, (dict, list, tuple)):
        for name, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(entry, f'{key}.{name}' if key else str(name))
    else:
        yield key, value
