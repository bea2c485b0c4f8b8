import json
import math
import re

import numpy as np
import pytest
from packaging.version import Version
from scipy import stats

from mmdecouple.ablation import read_table
from mmdecouple.ablation.columns import columns, measured_columns
from mmdecouple.ablation.figure import write_figures
from mmdecouple.ablation.plan import plan_runs
from mmdecouple.ablation.rows import Figures, check_manifests, summarize, write_rows
from mmdecouple.ablation.table_text import markdown, show, show_interval
from mmdecouple.evaluation.report_values import Difference
from mmdecouple.version import __version__
from tests.conftest import ROOT

from .tables import write_table


def row(name, seed, group='DenseCL', setting='plain', manifest='m', **metrics):
    return dict(
        group=group,
        row=name,
        setting=setting,
        seed=seed,
        manifests={'OKNN': manifest},
        metrics={key: dict(value=value, low=value, high=value, count=9) for key, value in metrics.items()},
    )


BASE, OURS = (0.40, 0.43, 0.41), (0.45, 0.42, 0.50)
ROWS = [row('base', seed, oknn_top1=value) for seed, value in enumerate(BASE)]
ROWS += [row('D', seed, oknn_top1=value, cr_inter_clean_median=1.0) for seed, value in reversed(list(enumerate(OURS)))]


def test_a_summary_is_the_t_interval_of_scipy_and_of_the_formula():
    values = [0.31, 0.35, 0.30, 0.42]
    found = summarize(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert found.mean - found.half == pytest.approx(low, abs=1e-12)
    assert found.mean + found.half == pytest.approx(high, abs=1e-12)
    spread = math.sqrt(sum((value - found.mean) ** 2 for value in values) / 3)
    assert found.half == pytest.approx(3.182446305 * spread / 2, rel=1e-9)
    assert summarize([0.5]) == (0.5, None, 1, 1)
    assert summarize([-1.0, 2.0, -3.0]).same == 2


def test_differences_are_taken_seed_by_seed_over_the_seeds_that_both_have():
    paired = np.subtract(OURS, BASE)
    found = Figures(ROWS).over_seeds('DenseCL', 'D', 'plain', 'oknn_top1', minus='base')
    assert found.mean == pytest.approx(paired.mean()) and (found.same, found.count) == (2, 3)
    assert found.half == pytest.approx(stats.t.ppf(0.975, 2) * paired.std(ddof=1) / math.sqrt(3))
    fewer = Figures([one for one in ROWS if (one['row'], one['seed']) != ('base', 1)])
    both = fewer.over_seeds('DenseCL', 'D', 'plain', 'oknn_top1', minus='base')
    assert both.mean == pytest.approx(paired[[0, 2]].mean())
    assert fewer.over_seeds('DenseCL', 'D', 'plain', 'cr_inter_clean_median', minus='base') is None


def test_the_table_shows_ours_beside_the_papers_and_the_paired_difference(tmp_path):
    table = read_table(write_table(tmp_path))
    text = markdown(table, ROWS, 'demo')
    lines = [line.replace(' ', '') for line in text.splitlines()]
    half = 100 * stats.t.ppf(0.975, 2) * np.std(OURS, ddof=1) / math.sqrt(3)
    assert f'|D|3|45.7±{half:.1f}|74.5|1.000±0.000|1.1|' in lines
    assert any(line.startswith('|Dminusbase|+4.3±') and '(2/3)' in line for line in lines)
    assert 'DenseCL, plain: differences, seed by seed' in text and '|untrained|0|–||–||' in lines
    contrasted = read_table(write_table(tmp_path, ('seeds: [0, 1]', 'contrasts: [[base, D], [untrained, D]]')))
    shown = markdown(contrasted, ROWS, 'demo').splitlines()
    assert [line.split(' | ')[0] for line in shown if ' minus ' in line][:4] == [
        '| D minus base',
        '| untrained minus base',
        '| base minus D',
        '| untrained minus D',
    ]
    assert any(line.startswith('| base minus D | -4.3 ±') for line in shown)
    assert [path.name for path in write_figures(table, ROWS, 'demo', tmp_path)] == [
        'figure_plain.png',
        'differences_plain.png',
    ]


def test_rows_of_other_draws_are_not_put_beside_each_other():
    check_manifests([*ROWS, row('base', 9, setting='long', manifest='other'), row('x', 0, group='iBOT', manifest='o')])
    with pytest.raises(ValueError, match='DenseCL: OKNN of rows base and D was measured on different draws'):
        check_manifests([*ROWS, row('D', 9, manifest='other')])


def test_a_kill_while_rows_are_written_leaves_the_rows_before(tmp_path, monkeypatch):
    path = tmp_path / 'rows.jsonl'
    write_rows(path, ROWS[:2])
    before = path.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmdecouple.utils.files.os.replace', killed)
    with pytest.raises(KeyboardInterrupt):
        write_rows(path, ROWS)
    assert path.read_bytes() == before
    assert [json.loads(line)['seed'] for line in path.read_text().splitlines()] == [0, 1]
    assert [file.name for file in tmp_path.iterdir()] == ['rows.jsonl']


def test_published_tables_are_those_of_the_rows_beside_them():
    published = sorted((ROOT / 'docs' / 'results').glob('*/*/rows.jsonl'))
    assert published
    for path in published:
        name, scale = path.parts[-3:-1]
        table, rows = read_table(name), [json.loads(line) for line in path.read_text().splitlines()]
        assert (path.parent / 'table.md').read_text() == markdown(table, rows, scale)
        assert {(one['table'], one['scale']) for one in rows} == {(name, scale)}
        keys = {run.name: run.key for run in plan_runs(table, scale, path.parent)}
        for one in rows:
            parts = f'{one["group"]}/{one["row"]}', one['setting'], f'seed {one["seed"]}'
            name = ', '.join(filter(None, parts))
            assert name in keys, f'{path}: {name} is no row of the table'
            # What an earlier version measured keeps its number, and says so; the present one's is that of the config.
            earlier = Version(one['version']).release[:2] < Version(__version__).release[:2]
            assert earlier or one['config_sha256'] == keys[name], f'{path}: measure {name} anew'
        assert not any('/' in one['folder'] for one in rows)


def test_the_differences_that_the_evidence_quotes_are_those_of_its_rows():
    figures, compared = published_figures('evidence'), 0
    for kappa, setting in (('0.8', 'cooccurrence'), ('0', 'none')):
        for name, column, cell in quoted(f'kappa {kappa}'):
            group, row, minus = re.fullmatch(r'(.+): (.+) minus (.+)', name).groups()
            found = figures.over_seeds(group, row, setting, columns()[column].key, minus=minus)
            shown = f'{"" if found.mean < 0 else "+"}{show(found, columns()[column])}'
            assert cell == (f'**{shown}**' if abs(found.mean) > found.half else shown), name
            compared += 1
    assert compared > 350


def quoted(head):
    """Row, column and cell of the one table of the pages of evidence whose first head is this."""
    text = ''.join((ROOT / 'docs' / name).read_text() for name in ('evidence.md', 'evidence_photographs.md'))
    ((header, lines),) = re.findall(rf'\| {re.escape(head)} \| (.*) \|\n\|[ -|]+\n((?:\|.*\n)+)', text)
    for line in lines.splitlines():
        name, *cells = line.strip('| ').split(' | ')
        for column, cell in zip(header.split(' | '), cells, strict=True):
            yield name, column, cell


def published_figures(name):
    rows = (ROOT / 'docs' / 'results' / name / 'demo' / 'rows.jsonl').read_text().splitlines()
    return Figures([json.loads(line) for line in rows])


def test_what_the_evidence_says_of_single_settings_is_in_their_rows():
    figures = published_figures('evidence_settings')
    for name, column, cell in quoted('one seed'):
        group, row, kappa = re.fullmatch(r'(.+): (.+) at kappa (\S+)', name).groups()
        found = figures.over_seeds(group, row, f'kappa_{kappa}', columns()[column].key)
        assert cell == show(found, columns()[column]), name


def test_what_the_evidence_says_of_region_methods_is_in_their_rows():
    figures, compared = published_figures('evidence_regions'), 0
    for name, column, cell in quoted('regions, one seed'):
        group, row = name.split(': ')
        found = figures.over_seeds(group, row, 'cooccurrence', columns()[column].key)
        assert cell == show(found, columns()[column]), name
        compared += 1
    assert compared == 126


def test_what_the_evidence_says_of_co_occurrence_is_in_its_rows():
    figures = published_figures('evidence')
    for name, column, cell in quoted('kappa 0.8 minus kappa 0'):
        group, row = name.split(': ')
        with_it, without = (
            figures.per_seed(group, row, setting, columns()[column].key) for setting in ('cooccurrence', 'none')
        )
        found = summarize([with_it[seed] - without[seed] for seed in (0, 1, 2)])
        shown = f'{"" if found.mean < 0 else "+"}{show(found, columns()[column])}'
        assert cell == (f'**{shown}**' if abs(found.mean) > found.half else shown)


def test_what_the_evidence_says_de_couples_is_in_its_rows():
    figures, compared = published_figures('what_decouples'), 0
    for row, column, cell in quoted('what de-couples'):
        found = [
            figures.over_seeds('iBOT', row, setting, columns()[column].key) for setting in ('cooccurrence', 'none')
        ]
        assert cell == ' / '.join(show(one._replace(half=None), columns()[column]) for one in found), (row, column)
        compared += 1
    assert compared == 45


def test_what_the_evidence_on_photographs_says_is_in_its_rows():
    figures, compared = published_figures('evidence_photographs'), 0
    specs = measured_columns(read_table('evidence_photographs').columns)

    def of_seeds(group, name, row, minus=None):
        for seed in (0, 1):
            values = [figures.per_seed(group, each, '', specs[name].key).get(seed) for each in (row, minus) if each]
            known = None not in values
            found = show(summarize([values[0] - sum(values[1:])]) if known else None, specs[name])
            yield f'+{found}' if minus and known and found[0] != '-' else found

    for group in ('iBOT', 'DenseCL'):
        for name, row, cell in quoted(f'{group}, seeds 0 / 1'):
            assert cell == ' / '.join(of_seeds(group, name, row)), (name, row)
            compared += 1
    for name, rows, cell in quoted('iBOT, differences of seeds 0 / 1'):
        assert cell == ' / '.join(of_seeds('iBOT', name, *rows.split(' minus '))), (name, rows)
        compared += 1
    for name, row, cell in quoted('visible loss, seed 1'):
        value = figures.per_seed('iBOT', row, '', specs[name].key).get(1)
        assert cell == show(None if value is None else summarize([value]), specs[name]), (name, row)
        compared += 1
    tables = (('iBOT', 'iBOT', 1), ('DenseCL', 'DenseCL', 0), ('DenseCL', 'DenseCL', 1), ('visible loss', 'iBOT', 1))
    for head, group, seed in tables:
        for name, rows, cell in quoted(f'{head}, differences of seed {seed}'):
            row, minus = rows.split(' minus ')
            key = specs[name].key
            found = figures.over_images(group, row, '', key, minus=minus).get(seed)
            if found is None and (found := figures.over_images(group, minus, '', key, minus=row).get(seed)):
                found = Difference(-found.value, -found.high, -found.low)
            assert cell == show_interval(found, specs[name]), (name, rows)
            compared += 1
    assert compared == 480
