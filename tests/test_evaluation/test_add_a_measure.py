"""The measure of `docs/add_a_measure.md` appears in every output by being imported, and the docs list every metric."""

import importlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mmdecouple.ablation import read_table
from mmdecouple.ablation.figure import write_figures
from mmdecouple.ablation.table_text import markdown
from mmdecouple.evaluation import ContextShift, CouplingMetric, measure_model
from mmdecouple.evaluation.measures.catalog import find_spec, markdown_table, measure_types, metric_specs
from mmdecouple.evaluation.probes.suites import probe_config
from mmdecouple.registry import MEASURES
from mmdecouple.visualization.charts import interval_figure
from mmdecouple.visualization.report import styles_of, write_report
from mmdecouple.visualization.runs import Run
from mmdecouple.visualization.terminal import full_table, short_table

from .toys import ConvModel, GlobalModel, PixelModel, toy_probes

DOCS = Path(__file__).resolve().parents[2] / 'docs'
TABLE = """
title: A table
source: nobody
imports: [my_measure]
columns: [OKNN, mirror shift]
groups:
  iBOT:
    base: {demo: demo/ibot_vit-demo_scenes.py}
    rows: {base: {}, other: {}}
"""


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """The module of the page, on the path and not yet imported."""
    (code,) = re.findall(r'```python\n(# my_measure\.py.*?)```', (DOCS / 'add_a_measure.md').read_text(), re.S)
    assert len(code.splitlines()) <= 40
    (tmp_path / 'my_measure.py').write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    MEASURES.module_dict.pop('MirrorShift', None)
    sys.modules.pop('my_measure', None)


def text_of(table):
    console = Console(width=200, record=True, file=open('/dev/null', 'w'))
    console.print(table)
    return console.export_text()


def test_the_measure_of_the_page_is_in_every_output(measure, tmp_path):
    importlib.import_module('my_measure')
    probe = probe_config('scenes', {}, measures=['OKNN', 'MirrorShift'], limit=7)
    assert probe['measures'][-1] == dict(type='MirrorShift', objects=7)
    dataset = toy_probes(measures=[dict(type='OKNN', k=5, bank_images=4, query_images=4), dict(type='MirrorShift')])
    runs = [
        Run(
            model.__name__,
            measure_model(model(), dataset, metric=CouplingMetric(json=tmp_path / 'r.json')),
            checkpoint=Path('x.pth'),
        )
        for model in (ConvModel, GlobalModel, PixelModel)
    ]
    assert json.loads((tmp_path / 'r.json').read_text())['metrics']['mirror_shift']['count'] == 10
    shift = [run.coupling['metrics']['mirror_shift']['value'] for run in runs]
    assert shift[0] > 0.01 and shift[1:] == pytest.approx([0, 0], abs=1e-6), 'the mean of an image has no sides'

    terminal = text_of(full_table({run.name: run.coupling for run in runs}, 'last layer')), text_of(short_table(runs))
    for printed in terminal:
        assert 'mirror shift' in printed and f'{shift[0]:.3f}' in printed
    page = write_report(tmp_path / 'report', runs).read_text()
    assert page.count('mirror shift') >= 4 and 'when the image is mirrored' in page and f'>{shift[0]:.3f}<' in page
    assert (tmp_path / 'report' / 'mirror_shift_histogram.png').is_file()
    assert 'mirror shift' in [axes.get_title('left') for axes in interval_figure(runs, styles_of(runs)).axes]
    assert '| `mirror_shift` | mirror shift | `MirrorShift` |' in markdown_table()


def test_a_table_of_ablations_names_the_module_and_shows_the_measure(measure, tmp_path, monkeypatch):
    path = tmp_path / 'mine.yml'
    path.write_text(TABLE.replace('imports: [my_measure]\n', ''))
    with pytest.raises(ValueError, match="columns: 'mirror shift' is unknown"):
        read_table(str(path))
    path.write_text(TABLE.replace('[my_measure]', '[no_such_measure]'))
    with pytest.raises(ValueError, match='mine.yml: imports: .*no_such_measure.*PYTHONPATH'):
        read_table(str(path))
    path.write_text(TABLE)
    table = read_table(str(path))
    rows = [
        dict(
            table='mine',
            scale='demo',
            group='iBOT',
            row=name,
            setting='',
            seed=0,
            manifests={},
            metrics=dict(mirror_shift=dict(value=value)),
        )
        for name, value in (('base', 0.25), ('other', 0.125))
    ]
    text = markdown(table, rows, 'demo')
    assert '| row | seeds | OKNN (%) | mirror shift |' in text and '| other minus base | – | -0.125 (1/1) |' in text
    assert 'mirror shift mirror_shift' in text and 'Lower is less coupled: mirror shift.' in text
    assert [one.name for one in write_figures(table, rows, 'demo', tmp_path)] == ['figure.png', 'differences.png']


def test_every_metric_that_a_measure_gives_has_a_spec_and_the_docs_list_it():
    assert markdown_table() in (DOCS / 'measuring_coupling.md').read_text(), 'run python tools/misc/metrics_table.py'
    few = dict(type='InterCouplingRatio', pairs=2, min_side=8)
    settings = [
        dict(type='OKNN', k=5, bank_images=3, query_images=3),
        few,
        dict(few, removal='shrink'),
        dict(few, alone='full'),
        dict(type='IntraCouplingRatio', objects=2, min_cells=4, min_part_cells=1),
        dict(type='ContextShift', objects=2),
        dict(type='BackgroundLeak', bank=3, queries=2, k=1),
        dict(type='LSC', images=2, window=3, cells=4),
        dict(type='PositionLeak', images=4, folds=2),
        dict(type='SpuriousShare', images=3),
    ]
    report = measure_model(ConvModel(), toy_probes(measures=settings))
    specs = metric_specs()
    assert set(report['metrics']) <= set(specs)
    missing = {'cr_inter_token', 'lsc_class', 'oknn_small', 'oknn_medium', 'oknn_large', 'cr_inter_shrink_full'}
    missing |= {'cr_intra_regions', 'context_shift_regions'}
    assert all(key.startswith(tuple(missing)) for key in set(specs) - set(report['metrics']))
    shown = {spec.histogram for key, spec in specs.items() if key in report['metrics'] and spec.histogram}
    assert shown <= set(report['histograms']) and len({spec.label for spec in specs.values()}) == len(specs)
    assert {name for name, kind in measure_types().items() if not kind.limits} == set()


def test_what_a_probe_data_set_says_of_itself_is_plain_values():
    measures, found = [dict(type='ContextShift'), dict(type='IntraCouplingRatio', min_cells=4, min_part_cells=1)], []
    dataset = toy_probes(measures=measures)
    regions = [len(dataset[i]['data_samples'].get('boxes', [0])) for i in range(len(dataset))]
    rows = [(i, np.random.default_rng(i).random((count, 4))) for i, count in enumerate(regions)]
    for meta in (dataset.metainfo, json.loads(json.dumps(dataset.metainfo))):
        metric = CouplingMetric()
        metric.dataset_meta = meta
        found.append(metric.compute_metrics(rows))
    assert found[0] == found[1] and len(found[0]) == 4


def test_a_metric_without_a_spec_and_two_of_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(ContextShift, 'metrics', ContextShift.metrics[1:])
    with pytest.raises(
        ValueError, match="ContextShift: it returns the metric 'context_shift', which has no MetricSpec"
    ):
        measure_model(PixelModel(), toy_probes(measures=[dict(type='ContextShift')]))
    monkeypatch.setattr(ContextShift, 'metrics', (replace(find_spec('oknn_gap'), key='context_shift'),))
    with pytest.raises(ValueError, match="Measures OKNN and ContextShift both have a metric 'gap'"):
        metric_specs()


def test_a_metric_of_an_earlier_version_is_shown_by_its_key():
    spec = find_spec('oknn_of_old')
    assert (spec.label, spec.direction, spec.show(np.float64(0.5))) == ('oknn_of_old', '', '0.500')
