"""The segmentation tool, as a user runs it."""

import importlib
import json
import sys

import pytest

from mmdecouple.evaluation.segmentation.suites import measure_configs, scenes_of
from mmdecouple.utils.configs import load_config

from .conftest import ROOT

CONFIG = ROOT / 'configs' / 'demo' / 'densecl_resnet-demo_scenes.py'
VIT = ROOT / 'configs' / 'demo' / 'ibot_vit-demo_scenes.py'


@pytest.fixture
def segment(monkeypatch):
    """Run the tool in this process."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'analysis_tools'))

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['segment.py', *map(str, arguments)])
        importlib.import_module('segment').main()

    return run


def test_an_untrained_network_is_scored_on_scenes_and_the_report_says_how(segment, tmp_path, capsys):
    segment(
        CONFIG,
        'none',
        '--data',
        'scenes',
        '--methods',
        'linear',
        'overcluster',
        '--quick',
        '--limit',
        8,
        '--epochs',
        2,
        '--clusters',
        20,
        'classes',
        '--json',
        tmp_path / 'report.json',
    )
    shown = capsys.readouterr().out
    for word in (
        '"linear: epochs", "done": 2, "total": 2',
        'overcluster_20_majority_miou',
        'overcluster_13_hungarian_miou',
        'k-means by',
    ):
        assert word in shown
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['format'] == 'mmdecouple-segmentation/1' and report['checkpoint'] is None
    assert report['network'] == 'teacher' and report['size'] == 48 and report['val']['images'] == 8
    assert report['measures']['linear']['augment'] is False and report['measures']['linear']['drop_at'] == 2
    assert all(0 <= entry['value'] <= 1 and len(entry['seeds']) == 1 for entry in report['metrics'].values())
    assert set(report['class_iou']['linear']) == set(report['classes'])


def test_a_word_that_is_no_data_set_ends_the_tool_with_one_line(segment, capsys):
    with pytest.raises(SystemExit) as stop:
        segment(CONFIG, 'none', '--data', 'ade:x')
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 1 and len(lines) == 1 and "got 'ade:x'" in lines[0]


@pytest.mark.parametrize(
    'words, line',
    [
        (
            (ROOT / 'configs' / '_base_' / 'default_runtime.py', 'none'),
            'cannot be used for segmentation: it has no model',
        ),
        (
            (VIT, 'none', '--size', 50),
            'segment: images of 50 pixels cannot be divided into patches of 8 pixels; use another --size, such as 48.',
        ),
    ],
)
def test_a_mistake_ends_in_one_line_that_names_it(words, line, segment, capsys):
    with pytest.raises(SystemExit) as stop:
        segment(*words, '--data', 'scenes', '--limit', 2)
    (told,) = (stop.value.code if isinstance(stop.value.code, str) else capsys.readouterr().err).strip().splitlines()
    assert line in told


def test_defaults_are_those_of_the_reference_and_options_reach_the_methods_they_are_for():
    assert measure_configs(['linear', 'overcluster']) == [dict(type='LinearSegmentation'), dict(type='OverClustering')]
    fcn, clusters = measure_configs(['fcn', 'overcluster'], epochs=5, clusters=[7, 'classes'], seeds=2)
    assert fcn == dict(type='FCNSegmentation', epochs=5, drop_at=4, seeds=2)
    assert clusters == dict(type='OverClustering', clusters=(7, 'classes'), seeds=2)


@pytest.mark.parametrize(
    'name, size', [('demo/densecl_resnet-demo_scenes.py', 48), ('demo/densecl-d_r18_1xb32-10e_coco128.py', None)]
)
def test_scenes_are_those_that_the_config_trains_on(name, size):
    assert (scenes_of(load_config(str(ROOT / 'configs' / name))) or {}).get('size') == size
