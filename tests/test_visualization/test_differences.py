import numpy as np
import pytest

from mmdecouple.evaluation import stats
from mmdecouple.evaluation.measures.catalog import find_spec
from mmdecouple.evaluation.report_values import difference, metric_interval
from mmdecouple.visualization.findings import judge
from mmdecouple.visualization.runs import Run

from .synthetic import coupling


def with_values(key: str, values: np.ndarray, groups: np.ndarray | None = None) -> Run:
    measured = coupling(0.5)
    measured['metrics'][key] = dict(value=float(values.mean()), low=0.0, high=1.0, count=len(values))
    measured['values'][key] = values.tolist()
    if groups is not None:
        measured['groups'] = {key: groups.tolist()}
    return Run(str(values.sum()), measured)


def test_interval_of_a_paired_difference_is_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0.5, 0.2, 1000)
    change = rng.normal(0.02, 0.05, 1000)
    found = difference(
        with_values('context_shift', base + change).coupling,
        with_values('context_shift', base).coupling,
        'context_shift',
    )
    half = 1.96 * change.std() / 1000**0.5
    assert found.value == pytest.approx(change.mean())
    assert found.low == pytest.approx(change.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(change.mean() + half, abs=0.15 * half)
    assert found.clear


def test_objects_of_one_image_count_as_one_draw() -> None:
    rng = np.random.default_rng(0)
    base, groups = np.zeros(400), np.repeat(np.arange(100), 4)
    change = rng.normal(0, 1, 100)[groups]
    spans = []
    for owners in (np.arange(400), groups):
        found = difference(
            with_values('context_shift', base + change, owners).coupling,
            with_values('context_shift', base, owners).coupling,
            'context_shift',
        )
        spans.append(found.high - found.low)
    assert spans[1] == pytest.approx(2 * spans[0], rel=0.15)


def test_one_image_gives_a_difference_but_no_interval() -> None:
    reports = [
        with_values('context_shift', np.array(values), np.zeros(2, int)).coupling for values in ([0.1, 0.2], [0.5, 0.9])
    ]
    found = difference(reports[1], reports[0], 'context_shift')
    assert found.value == pytest.approx(0.55) and found.low is None and not found.clear
    reports[0]['metrics']['context_shift'].update(low=0.15, high=0.15)
    assert metric_interval(reports[0], 'context_shift') is None
    assert metric_interval(reports[1], 'context_shift') == (0, 1)


def test_a_metric_without_values_gets_no_interval_and_is_never_called_better() -> None:
    runs = [Run('a', coupling(0.9, seed=1)), Run('b', coupling(0.1, seed=2))]
    found = difference(runs[1].coupling, runs[0].coupling, 'cr_inter_clean_median')
    assert found.low is None and not found.clear
    assert judge(find_spec('cr_inter_clean_median'), runs[1], runs[0]).verdict == ''


def test_the_interval_of_a_difference_of_medians_is_paired_by_resample() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(1.0, 0.5, 300)
    change = rng.normal(0.03, 0.05, 300)
    reports = []
    for values in (base, base + change):
        report = coupling(0.5)
        found = stats.estimate(stats.median(values), np.arange(300))
        report['metrics']['cr_inter_clean_median'] = found.entry()
        report['resamples'] = {'cr_inter_clean_median': list(found.resamples)}
        reports.append(report)
    found = difference(reports[1], reports[0], 'cr_inter_clean_median')
    draws, rows = [], np.random.default_rng(5)
    for _ in range(1000):
        picked = rows.integers(300, size=300)
        draws.append(np.median((base + change)[picked]) - np.median(base[picked]))
    assert [found.low, found.high] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.015)
    own = metric_interval(reports[0], 'cr_inter_clean_median')
    assert found.high - found.low < 0.6 * (own[1] - own[0]), 'what both networks share cancels'
    assert stats.resampled_interval([0.1, 0.1], [0.3, 0.3]) is None


def test_better_follows_the_direction_of_the_metric() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, 100)
    for key, word in (('context_shift', 'worse'), ('oknn_top1', 'better')):
        reference, risen = with_values(key, noise), with_values(key, noise + 0.1)
        assert judge(find_spec(key), risen, reference).verdict == word


def test_values_are_printed_with_their_sign_and_unit() -> None:
    spec = find_spec('oknn_gap')
    assert (spec.show(0.1234), spec.show(-0.1, True), spec.show(0.1, True), spec.show(None)) == (
        '12.3',
        '−10.0',
        '+10.0',
        '–',
    )


@pytest.mark.parametrize(
    'key, reference, value, word',
    [
        ('cr_inter_masked_dcos', 0.2, 0.05, 'better'),
        ('cr_inter_masked_dcos', -0.05, -0.2, 'worse'),
        ('cr_inter_masked_dcos', 0.2, -0.01, 'better'),
        ('cr_inter_clean_median', 0.98, 0.9, 'worse'),
        ('cr_inter_clean_median', 1.4, 1.1, 'better'),
        ('oknn_gap', 0.1, 0.05, 'better'),
        ('lsc_mean', 0.9, 0.8, 'worse'),
    ],
)
def test_what_has_a_best_value_is_judged_by_its_distance_to_it(key, reference, value, word) -> None:
    assert find_spec(key).verdict(value, reference) == word
