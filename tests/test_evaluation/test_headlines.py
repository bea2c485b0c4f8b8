"""The class mean leads where a constant answer would do, and few items are counted, in every table."""

import re

import pytest
from rich.console import Console

from mmdecouple.evaluation.headlines import few_items, remarks
from mmdecouple.evaluation.measures.catalog import find_spec
from mmdecouple.evaluation.report_values import shown_metrics
from mmdecouple.visualization.findings import judge
from mmdecouple.visualization.report import write_report
from mmdecouple.visualization.runs import Run
from mmdecouple.visualization.terminal import print_reports, short_table


def report(top1=0.37, low=0.31, high=0.43, majority=0.36, per_class=40.0, pairs=400, prefix='oknn'):
    """A measured JSON whose recognition and whose number of pairs are given."""

    def entry(value, low, high, count=300):
        return dict(value=value, low=low, high=high, count=count)

    metrics = {
        f'{prefix}_top1': entry(top1, low, high),
        f'{prefix}_class_mean': entry(0.051, 0.03, 0.07),
        'oknn_gap': entry(0.1, 0.05, 0.15),
        'cr_inter_clean_median': entry(1.2, 1.0, 1.4, pairs),
    }
    if majority is not None:
        metrics[f'{prefix}_majority'] = entry(majority, majority - 0.05, majority + 0.05)
    if per_class is not None:
        metrics['oknn_bank_per_class'] = entry(per_class, per_class, per_class)
    return dict(dataset='toy', checkpoint=None, manifest_sha256='a' * 64, metrics=metrics, notes=[])


@pytest.mark.parametrize('prefix, title', [('oknn', 'OKNN'), ('oknn_d', 'OKNN-D')])
@pytest.mark.parametrize(
    'given, reason',
    [
        (dict(), 'top-1 is within its interval of the share of the majority class (36 %)'),
        (dict(majority=0.31), 'top-1 is within its interval of the share of the majority class (31 %)'),
        (dict(majority=0.50), 'top-1 is below the share of the majority class (50 %)'),
        (dict(majority=0.30), None),
        (dict(majority=0.30, per_class=19.9), 'the bank holds 19.9 objects per class, fewer than 20'),
        (dict(majority=0.30, per_class=20.0), None),
        (dict(majority=None, per_class=None), None),
    ],
)
def test_a_class_mean_leads_where_top1_says_little_and_a_line_says_why(given, reason, prefix, title):
    one = report(**given, prefix=prefix)
    order = [spec.key for spec in shown_metrics([one], headline=True)]
    first = f'{prefix}_class_mean' if reason else f'{prefix}_top1'
    assert order[0] == first and (f'{prefix}_class_mean' in order) == bool(reason) and f'{prefix}_top1' in order
    assert remarks(dict(net=one)) == ([f'net: the class mean of {title} leads: {reason}.'] if reason else [])


def test_both_reasons_are_given_and_one_network_decides_for_the_whole_table():
    poor, good = report(per_class=3.0), report(0.9, 0.85, 0.95)
    assert remarks(dict(a=good, b=poor)) == [
        'b: the class mean of OKNN leads: top-1 is within its interval of the share of the majority class (36 %) and '
        'the bank holds 3.0 objects per class, fewer than 20.'
    ]
    assert shown_metrics([good, poor])[0].key == 'oknn_class_mean' and shown_metrics([good])[0].key == 'oknn_top1'


@pytest.mark.parametrize('pairs, said', [(12, '12 pairs'), (49, '49 pairs'), (50, ''), (2000, '')])
def test_few_pairs_are_counted(pairs, said):
    one = report(pairs=pairs)
    assert few_items(find_spec('cr_inter_clean_median'), one) == said
    assert few_items(find_spec('oknn_top1'), one) == ''


def test_the_terminal_and_the_page_say_the_same(tmp_path):
    one = report(pairs=12)
    console = Console(record=True, width=120, force_terminal=True)
    print_reports(dict(net=one), 'last layer', console)
    console.print(short_table([Run('net', one)]))
    printed = console.export_text()
    page = write_report(tmp_path, [Run('net', one)]).read_text()
    line = 'net: the class mean of OKNN leads: top-1 is within its interval'
    assert printed.count('12 pairs') == 2 and page.count('>12 pairs<') == 2
    assert line in printed and line in page
    assert printed.index('oknn_class_mean') < printed.index('oknn_top1')
    rows = re.findall(r'data-metric="(\w+)"', page)
    assert rows[0] == 'oknn_class_mean' and rows[1] == 'oknn_top1'


def test_a_sentence_counts_few_pairs_too():
    spec = find_spec('cr_inter_clean_median')
    found = [judge(spec, Run('D', report(pairs=pairs)), Run('base', report(pairs=pairs))) for pairs in (12, 60)]
    assert found[0].clause().endswith('no interval; 12 pairs)') and found[1].clause().endswith('no interval)')
