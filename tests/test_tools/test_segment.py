"""The segmentation tool, as a user runs it."""

import json

import pytest

from mmdecouple.commands import segment
from mmdecouple.datasets.scenes.settings import scene_settings
from mmdecouple.evaluation.segmentation.suites import measure_configs
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.data_spec import read_spec
from tests.test_card.toys import write_camvid

from .conftest import ROOT

CONFIG = ROOT / 'configs' / 'demo' / 'densecl_resnet-demo_scenes.py'
VIT = ROOT / 'configs' / 'demo' / 'ibot_vit-demo_scenes.py'


def run(*arguments):
    """Calls the command with the words of a command line."""
    segment.main([str(argument) for argument in arguments])


def test_untrained_networks_are_scored_on_scenes_and_their_reports_say_how(tmp_path, capsys):
    run(
        CONFIG,
        'timm:test_vit2',
        '--names',
        'ours',
        'theirs',
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
        '--out',
        tmp_path,
    )
    shown = capsys.readouterr().out
    for word in (
        '"linear: epochs", "done": 2, "total": 2',
        'overcluster_20_majority_miou',
        'overcluster_13_hungarian_miou',
        'k-means by',
    ):
        assert word in shown
    theirs, report = (json.loads((tmp_path / f'{name}.json').read_text()) for name in ('theirs', 'ours'))
    assert theirs['config'] is None and theirs['val'] == report['val'] and theirs['metrics'] != report['metrics']
    assert report['format'] == 'mmdecouple-segmentation/1' and report['checkpoint'] is None
    assert report['network'] == 'teacher' and report['size'] == 48 and report['val']['images'] == 8
    assert report['measures']['linear']['augment'] is False and report['measures']['linear']['drop_at'] == 2
    assert all(0 <= entry['value'] <= 1 and len(entry['seeds']) == 1 for entry in report['metrics'].values())
    assert set(report['class_iou']['linear']) == set(report['classes'])


def test_data_without_label_maps_end_the_command_with_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        run(CONFIG, '--data', 'coco:x')
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 1 and len(lines) == 1 and 'coco cannot be used here; name one of scenes' in lines[0]


@pytest.mark.parametrize(
    'words, line',
    [
        ((ROOT / 'configs' / '_base_' / 'default_runtime.py',), 'default_runtime-untrained: its config has no model'),
        (
            (VIT, '--size', 50),
            'segment: images of 50 pixels cannot be divided into patches of 8 pixels; use another --size, such as 48.',
        ),
    ],
)
def test_a_mistake_ends_in_one_line_that_names_it(words, line, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*words, '--data', 'scenes', '--limit', 2, '--out', tmp_path)
    (told,) = (stop.value.code if isinstance(stop.value.code, str) else capsys.readouterr().err).strip().splitlines()
    assert line in told


def test_defaults_are_those_of_the_reference_and_options_reach_the_methods_they_are_for():
    assert measure_configs(['linear', 'overcluster']) == [dict(type='LinearSegmentation'), dict(type='OverClustering')]
    fcn, clusters = measure_configs(['fcn', 'overcluster'], epochs=5, clusters=[7, 'classes'], seeds=2)
    assert fcn == dict(type='FCNSegmentation', epochs=5, drop_at=4, min_steps=0, seeds=2)
    assert clusters == dict(type='OverClustering', clusters=(7, 'classes'), seeds=2)


@pytest.mark.parametrize(
    'name, size', [('demo/densecl_resnet-demo_scenes.py', 48), ('demo/densecl-d_r18_1xb32-10e_coco128.py', None)]
)
def test_scenes_are_those_that_the_config_trains_on(name, size):
    config = load_config(str(ROOT / 'configs' / name))
    assert scene_settings(read_spec('scenes'), config).get('size') == size


def test_a_second_network_that_the_size_does_not_suit_is_refused_before_the_first_is_measured(tmp_path, capsys):
    data = write_camvid(tmp_path / 'data')
    words = ('timm:test_vit', 'timm:test_resnet', '--data', f'camvid:{data}', '--methods', 'linear', '--size', 48)
    with pytest.raises(SystemExit):
        run(*words, '--epochs', 1, '--out', tmp_path / 'out')
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert 'test_resnet-untrained: ' in line and '48 x 48' in line and '--size' in line
    assert not list((tmp_path / 'out').glob('*.json'))
