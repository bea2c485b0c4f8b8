"""Sentences of the report, from hand-made numbers."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmdecouple.visualization.findings import Comparison, caveats, comparisons, role_of
from mmdecouple.visualization.runs import Run

MIXED, NOTHING = dict(type='DecouplingBranch'), dict(type='DecouplingBranch', background='none')
EVEN = np.tile([-1.0, 1.0], 50)


def run(name, branch=None, method='DenseCL', trained=True, settings=None, **values):
    """A run whose metrics are the means of values per image; a plain number is a metric without values."""
    metrics = {key: dict(value=float(np.mean(value)), low=0.0, high=1.0, count=100) for key, value in values.items()}
    coupling = dict(metrics=metrics, values={key: list(each) for key, each in values.items() if np.ndim(each)})
    config = Config(dict(model=dict(type=method, decoupling=branch), **(settings or {})))
    return Run(name, coupling, config=config, checkpoint=Path('x.pth') if trained else None)


def four(shift=0.31, **more):
    return [
        run('Untrained', MIXED, trained=False, context_shift=np.full(100, 0.2)),
        run('Base', context_shift=np.full(100, 0.5)),
        run('D', MIXED, context_shift=shift + np.zeros(100), **more),
        run('Control', NOTHING, context_shift=0.4 + np.zeros(100)),
    ]


def test_runs_are_recognized_by_their_configs_in_any_order_and_under_any_name():
    assert [role_of(each) for each in four()] == ['untrained', 'base', 'decoupled', 'control']
    assert role_of(run('x', dict(MIXED, loss_weight=0))) == 'base', 'a branch of weight 0 is the base method'
    for order in itertools.permutations(four()):
        found = [(each.run.name, each.reference.name, each.kind) for each in comparisons(order)]
        assert found == [('D', 'Control', 'control'), ('D', 'Base', 'base'), ('D', 'Untrained', 'untrained')]


@pytest.mark.parametrize(
    'runs, expected',
    [
        (four()[:3], [('D', 'Base'), ('D', 'Untrained')]),
        (four()[2:], [('D', 'Control')]),
        ([run('a'), run('b'), run('c')], [('b', 'a')]),
        (four()[:2], [('Base', 'Untrained')]),
        (four()[2:3], []),
        (four()[:1], []),
        ([run('iBOT', method='iBOT'), run('D', MIXED), run('iBOT-D', MIXED, 'iBOT')], [('iBOT-D', 'iBOT')]),
        ([run('iBOT', method='iBOT'), run('D', MIXED)], [('D', 'iBOT')]),
    ],
)
def test_what_is_compared_without_a_control_a_base_or_de_coupling(runs, expected):
    assert [(each.run.name, each.reference.name) for each in comparisons(runs)] == expected


@pytest.mark.parametrize(
    'shift, verdict, expected',
    [
        (0.31, 'better', 'fell from 0.400 (Control) to 0.310 (D) (−0.090, 95 % interval −0.090 to −0.090)'),
        (0.45, 'worse', 'rose from 0.400 (Control) to 0.450 (D) (+0.050, 95 % interval +0.050 to +0.050)'),
        (0.3999, 'open', 'did not change clearly, from 0.400 (Control) to 0.400 (D) (0.000, 95 % interval 0.000 to'),
    ],
)
def test_the_first_sentence_says_what_happened_to_context_shift_against_the_control(shift, verdict, expected):
    found = comparisons(four(shift))[0]
    assert found.sentence().startswith(f'Context shift {expected}') and found.verdict == verdict
    assert 'foreign background' in found.lesson


def test_a_difference_whose_interval_contains_zero_is_undecided():
    found = comparisons(four(0.41 + 0.2 * EVEN))[0]
    assert found.verdict == 'open' and 'did not change clearly, from 0.400 (Control) to 0.410 (D)' in found.sentence()


def test_recognition_follows_in_the_same_sentence_in_points():
    d, control = four()[2:]
    for each, hits in ((d, 25), (control, 20)):
        each.coupling['metrics']['oknn_top1'] = dict(value=hits / 100, low=0.1, high=0.3, count=100)
        each.coupling['values']['oknn_top1'] = [1.0] * hits + [0.0] * (100 - hits)
    text = Comparison(d, control, 'control').sentence()
    ends = re.search(r'; OKNN rose from 20.0 % to 25.0 % \(\+5.0 points, 95 % interval (\S+) to (\S+)\)\.$', text)
    half = 1.96 * (5 - 0.25) ** 0.5  # of 100 changes, of which 5 are 1
    assert [float(end) for end in ends.groups()] == pytest.approx([5 - half, 5 + half], abs=1.01)
    assert '. ' not in text, 'it is one sentence'
    assert len(caveats(Comparison(d, control, 'control'))) == 1, 'recognition was measured'


def test_measures_that_are_missing_give_way_to_others():
    runs = [
        run('D', MIXED, cr_inter_clean_median=0.8, cr_intra_cell=np.full(100, 0.1), context_shift=0.1 + np.zeros(9)),
        run('Control', NOTHING, cr_inter_clean_median=0.9, cr_intra_cell=np.full(100, 0.2)),
    ]
    assert comparisons(runs)[0].sentence() == (
        'CR intra (cells) fell from 0.200 (Control) to 0.100 (D) (−0.100, 95 % interval −0.100 to −0.100).'
    )
    for each in runs:
        del each.coupling['metrics']['cr_intra_cell']
    found = comparisons(runs)[0]
    assert found.sentence() == 'CR inter was 0.900 (Control) and is 0.800 (D) (−0.100, no interval).'
    assert found.verdict == ''
    del runs[0].coupling['metrics']['cr_inter_clean_median']
    assert comparisons(runs)[0].sentence() == 'No headline measure was computed for both D and Control.'


def test_regions_lead_where_there_are_no_objects():
    runs = [
        run(name, branch, lsc_mean=np.full(50, 0.9), context_shift_regions=np.full(50, value))
        for name, branch, value in (('D', MIXED, 0.1), ('Control', NOTHING, 0.3))
    ]
    assert comparisons(runs)[0].sentence().startswith('Context shift (regions) fell from 0.300 (Control) to 0.100 (D)')


def test_other_differences_between_the_two_trainings_are_named():
    def trained(name, branch, epochs, **more):
        return run(name, branch, settings=dict(train_cfg=dict(max_epochs=epochs), work_dir=name, **more))

    d, base, control = trained('D', MIXED, 8), trained('B', None, 8), trained('C', NOTHING, 4, randomness=dict(seed=1))
    assert Comparison(d, base, 'base').other_differences() == [], 'the branch is what is compared'
    assert [line.partition(' ')[0] for line in caveats(Comparison(d, base, 'base'))] == ['One', 'Recognition']
    line = caveats(Comparison(d, control, 'control'))[2]
    assert 'train_cfg.max_epochs' in line and 'randomness.seed' in line
    d.config.model.decoupling.ratio = 0.5
    assert Comparison(d, control, 'control').other_differences()[0] == 'model.decoupling.ratio'
