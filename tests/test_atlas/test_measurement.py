"""One command measures all networks at every layer, continues where it stopped, and writes what it measured."""

import json

import numpy as np
import pytest
from PIL import Image

from mmdecouple.atlas import measurement
from mmdecouple.atlas.document import BEGIN, END, tables, with_tables
from mmdecouple.atlas.measurement import Settings, data_name, measure_coupling
from mmdecouple.atlas.results import read_results
from mmdecouple.atlas.run import DOCS, measure_all, publish, write_outputs
from mmdecouple.atlas.subjects import own_subjects
from mmdecouple.datasets.scenes import SceneSpec
from mmdecouple.datasets.scenes.export import export
from mmdecouple.utils.data_spec import read_spec
from mmdecouple.utils.errors import UserError
from mmdecouple.visualization import coupling

FIRST, SECOND = (f'configs/demo/densecl{kind}_resnet-demo_scenes.py' for kind in ('', '-d'))


@pytest.fixture(scope='module')
def subjects():
    first, second = own_subjects([FIRST, SECOND])
    # Both have random weights and the same layers, so one can stand for the twin of the other.
    return [type(first)(first.name, first.networks, second.name), second]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'scenes'
    export(folder, SceneSpec(size=64, objects=(1, 1), object_side=(0.6, 0.7)), dict(train=6, val=6))
    return [read_spec(f'coco:{folder}:train:val')]


@pytest.fixture(scope='module')
def measured(subjects, scenes, tmp_path_factory):
    settings = Settings(tmp_path_factory.mktemp('atlas'), limit=2)
    return settings, measure_all(subjects, scenes, settings, print)


def test_every_layer_of_every_network_is_measured_with_its_interval(subjects, measured):
    settings, results = measured
    layers = {name: list(found) for name, found in results['coupling']['scenes'].items()}
    assert list(layers.values()) == [['layer1', 'layer2', 'layer3', 'last']] * 2
    assert read_results(settings.out / 'results.json') == results
    for name, found in results['coupling']['scenes'].items():
        for layer, entries in found.items():
            end = '' if layer == 'last' else f'-{layer}'
            report = json.loads((settings.out / 'coupling' / 'scenes' / f'{name}{end}.json').read_text())
            assert report['layer'] == (None if layer == 'last' else layer)
            for key, entry in entries.items():
                assert entry['value'] == pytest.approx(report['metrics'][key]['value'], rel=1e-4)
                assert entry['count'] == report['metrics'][key]['count']
    change = results['coupling']['scenes'][subjects[0].name]['last']['context_shift']
    other = results['coupling']['scenes'][subjects[1].name]['last']['context_shift']
    assert change['difference'][0] == pytest.approx(change['value'] - other['value'], abs=1e-4)
    assert change['difference'][1] <= change['difference'][0] <= change['difference'][2]


def test_a_second_call_measures_nothing_and_a_lost_report_alone_is_measured_again(
    subjects, scenes, measured, monkeypatch
):
    settings, results = measured
    calls = []

    def counted(kind):
        real = getattr(coupling, kind)
        return lambda model, dataset, *rest, **more: calls.append(kind) or real(model, dataset, *rest, **more)

    for kind in ('measure_model', 'measure_layers'):
        monkeypatch.setattr(coupling, kind, counted(kind))
    lines = []
    again = measure_all(subjects, scenes, settings, lines.append)
    assert calls == [] and again['coupling'] == results['coupling'] and sum('reused' in line for line in lines) == 8
    (settings.out / 'coupling' / 'scenes' / f'{subjects[0].name}-layer2.json').unlink()
    again = measure_all(subjects, scenes, settings, lines.append)
    assert calls == ['measure_model'] and again['coupling'] == results['coupling']


def test_an_interrupted_call_continues_after_the_finished_network(subjects, scenes, tmp_path, monkeypatch):
    settings, real, seen = Settings(tmp_path, limit=1), coupling.measure_layers, []

    def stopping(model, *rest, **more):
        seen.append(model)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(model, *rest, **more)

    monkeypatch.setattr(coupling, 'measure_layers', stopping)
    with pytest.raises(KeyboardInterrupt):
        measure_all(subjects, scenes, settings, print)
    assert not (tmp_path / 'results.json').exists()
    measure_all(subjects, scenes, settings, print)
    assert len(seen) == 3 and (tmp_path / 'results.json').is_file()


def test_another_limit_is_another_measurement(subjects, scenes, measured):
    settings, _ = measured
    lines = []
    measure_coupling(subjects[1], scenes[0], Settings(settings.out, limit=1), lines.append)
    assert lines == []
    measure_coupling(subjects[1], scenes[0], Settings(settings.out, limit=1), lines.append)
    assert len(lines) == 4


def test_tables_and_figures_hold_the_results(subjects, measured, tmp_path):
    _, results = measured
    found = tables(results)
    assert found.keys() == {'scenes-last', 'scenes-change', 'scenes-layers'}
    entry = results['coupling']['scenes'][subjects[0].name]['last']['context_shift']
    row = next(line for line in found['scenes-last'].splitlines() if line.startswith(f'| {subjects[0].name} |'))
    assert f'| {entry["value"]:.3f} [{entry["low"]:.3f}, {entry["high"]:.3f}] |' in row
    assert [line.split(' | ')[1] for line in found['scenes-layers'].splitlines()[2:]] == [
        'layer1',
        'layer2',
        'layer3',
        'last',
    ]
    written = write_outputs(results, tmp_path)
    assert [path.name for path in written] == ['tables.md', 'depth_scenes.png']
    assert all(table in written[0].read_text() for table in found.values())


def test_a_table_is_written_between_its_marks_only(measured, tmp_path):
    _, results = measured
    picture = tmp_path / 'affinity' / 'scenes' / 'affinity_fixed.png'
    picture.parent.mkdir(parents=True)
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None], 8, 0)
    Image.fromarray(np.stack([ramp, ramp[:, ::-1], ramp // 2], 2)).save(picture)
    page = 'before\n' + ''.join(
        f'{BEGIN.format(name=name)}old\n{END.format(name=name)}between {name}\n' for name in tables(results)
    )
    (tmp_path / 'atlas.md').write_text(page)
    publish(results, tmp_path, tmp_path)
    drawn, published = (Image.open(path) for path in (picture, tmp_path / 'atlas' / 'affinity_scenes.png'))
    assert (
        published.mode == 'P' and np.abs(np.asarray(drawn, int) - np.asarray(published.convert('RGB'), int)).max() <= 2
    )
    text = (tmp_path / 'atlas.md').read_text()
    assert (
        text.startswith('before\n')
        and 'old' not in text
        and all(f'between {name}\n' in text for name in tables(results))
    )
    assert with_tables(text, results) == text
    with pytest.raises(UserError, match='no place for the table scenes-last'):
        with_tables('a page', results)


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"format": "mmdecouple-coupling/1"}'])
def test_a_file_of_something_else_is_one_line(tmp_path, text):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(UserError, match=r'a\.json .*measure again'):
        read_results(tmp_path / 'a.json')


def test_two_data_sets_or_networks_of_one_name_are_refused(subjects, tmp_path):
    for folder in ('a/coco', 'b/coco'):
        (tmp_path / folder).mkdir(parents=True)
    data = [read_spec(f'coco:{tmp_path}/{folder}/coco') for folder in 'ab']
    assert data_name(data[0]) == 'coco'
    with pytest.raises(UserError, match='Two data sets are called coco'):
        measure_all(subjects, data, Settings(tmp_path), print)
    with pytest.raises(UserError, match='Two networks are called'):
        own_subjects([FIRST, FIRST])


def test_camvid_is_measured_on_its_components_in_larger_images(subjects, tmp_path, monkeypatch):
    asked = {}

    def measured(networks, draws, reading, out, say):
        asked.update(data=draws.data, size=draws.size, measures=draws.measures, out=out)
        return {}

    monkeypatch.setattr(measurement, 'measure_networks', measured)
    measure_coupling(subjects[0], read_spec('camvid:data/camvid'), Settings(tmp_path), print)
    assert (asked['data'], asked['size']) == ('camvid:data/camvid', 448) and 'OKNN' in asked['measures']
    assert asked['out'] == tmp_path / 'coupling' / 'camvid'


def test_the_tables_of_the_page_are_those_of_the_stored_results():
    page = (DOCS / 'atlas.md').read_text()
    results = read_results(DOCS / 'atlas' / 'results.json')
    assert with_tables(page, results) == page
    assert page.count('<!-- atlas ') == len(tables(results)) >= 3
