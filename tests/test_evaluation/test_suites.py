"""What short names stand for: numbers of two reports are comparable where they mean the same probes."""

import pytest

from mmdecouple.datasets.scenes import SceneSpec
from mmdecouple.datasets.scenes.export import export
from mmdecouple.datasets.scenes.settings import scene_settings
from mmdecouple.evaluation.probes.suites import coco_probe, probe_config, scene_probe
from mmdecouple.evaluation.segmentation.suites import measure_configs
from mmdecouple.utils.data_spec import read_spec
from mmdecouple.utils.errors import UserError

SCENES = dict(type='SceneImages', scenes=dict(size=64, classes=3))


def scenes(split, count, size, **knobs):
    return dict(type='SceneObjects', num_images=count, split=split, scenes=dict(knobs, size=size))


def test_scenes_are_measured_with_limits_that_fit_their_small_images():
    assert scene_probe({}) == dict(
        type='ProbeDataset',
        size=96,
        cell=8,
        objects=scenes('val', 1000, 96),
        bank=scenes('train', 3000, 96),
        singles=scenes('val', 400, 96, objects=(1, 1)),
        measures=[
            dict(type='OKNN'),
            dict(type='InterCouplingRatio', pairs=300, min_side=96 / 5),
            dict(type='IntraCouplingRatio', objects=1000, min_cells=4, min_part_cells=1),
            dict(type='ContextShift'),
            dict(type='BackgroundLeak'),
            dict(type='LSC', images=24, window=3),
            dict(type='PositionLeak'),
        ],
    )


@pytest.mark.parametrize(
    'trained, asked, size, knobs',
    [
        (SCENES, None, 64, dict(classes=3)),
        (SCENES, 48, 48, dict(classes=3)),
        (dict(type='SceneImages', scenes=dict(size=(80, 112))), None, 80, {}),
        (dict(type='SceneImages'), None, 96, {}),
        (dict(type='ImageDataset', scenes=dict(size=64)), None, 96, {}),
        (None, 40, 40, {}),
    ],
)
def test_scenes_are_those_that_the_config_trains_on_at_the_size_asked_for(trained, asked, size, knobs):
    probe = probe_config('scenes', dict(train_dataloader=trained and dict(dataset=trained)), size=asked)
    assert probe['size'] == size and probe['objects'] == scenes('val', 1000, size, **knobs)
    assert probe['singles']['scenes'] == dict(knobs, size=size, objects=(1, 1))
    assert probe['measures'][1]['min_side'] == size / 5


def test_coco_is_found_in_its_standard_layout():
    assert (
        coco_probe(read_spec('coco'))
        == coco_probe(read_spec('coco:data/coco:train2017:val2017'))
        == dict(
            type='ProbeDataset',
            objects=dict(
                type='CocoObjects',
                ann_file='data/coco/annotations/instances_val2017.json',
                img_prefix='data/coco/val2017',
                name='coco-val2017',
            ),
            bank=dict(
                type='CocoObjects',
                ann_file='data/coco/annotations/instances_train2017.json',
                img_prefix='data/coco/train2017',
                name='coco-train2017',
            ),
        )
    )
    for word in ('coco', 'coco:a', 'coco:a:b:c', 'coco128:a'):
        measures = [
            dict(type=name)
            for name in (
                'OKNN',
                'InterCouplingRatio',
                'IntraCouplingRatio',
                'ContextShift',
                'BackgroundLeak',
                'LSC',
                'PositionLeak',
            )
        ]
        assert probe_config(word, {}) == {**coco_probe(read_spec(word)), 'measures': measures}


def test_options_reach_what_they_are_for_and_a_limit_only_lowers():
    found = probe_config(
        'coco',
        {},
        size=64,
        cell=8,
        seed=0,
        manifest='m.json',
        measures=['LSC', 'InterCouplingRatio'],
        limit=60,
        removal='token',
    )
    assert found == {
        **coco_probe(read_spec('coco')),
        'size': 64,
        'cell': 8,
        'seed': 0,
        'manifest': 'm.json',
        'measures': [dict(type='InterCouplingRatio', pairs=60, removal='token'), dict(type='LSC', images=50, cells=60)],
    }
    limited = probe_config('coco', {}, limit=1)['measures']
    assert limited == [
        dict(type='OKNN', bank_images=1, query_images=1),
        dict(type='InterCouplingRatio', pairs=1),
        dict(type='IntraCouplingRatio', objects=1),
        dict(type='ContextShift', objects=1),
        dict(type='BackgroundLeak', bank=1, queries=1),
        dict(type='LSC', images=1, cells=1),
        dict(type='PositionLeak', images=1),
    ]


def test_a_measure_that_is_not_standard_is_used_where_it_is_named():
    for data, config in (('scenes', {}), ('coco', {}), (None, dict(val_dataloader=dict(dataset=scene_probe({}))))):
        found = probe_config(data, config, measures=['SpuriousShare', 'LSC'], limit=7)['measures']
        assert [measure['type'] for measure in found] == ['LSC', 'SpuriousShare']
        assert found[1] == dict(type='SpuriousShare', images=7)
    listed = dict(type='ProbeDataset', measures=[dict(type='SpuriousShare', ratio=0.5)])
    assert probe_config(None, dict(val_dataloader=dict(dataset=listed)))['measures'] == listed['measures']


def test_a_quick_look_at_segmentation_is_the_same_short_schedule_every_time():
    head = dict(epochs=10, drop_at=8, batch_size=32, grid=28, augment=False)
    assert measure_configs(['linear', 'fcn', 'overcluster'], quick=True) == [
        dict(type='LinearSegmentation', **head, eval_size=100, min_steps=1000, batch_norm=True, lr=0.1),
        dict(type='FCNSegmentation', **head, eval_size=28, channels=64),
        dict(type='OverClustering', seeds=1, restarts=1, iterations=50),
    ]


@pytest.mark.parametrize('epochs, drop_at', [(1, 1), (4, 3), (25, 20), (100, 80)])
def test_the_rate_falls_after_four_fifths_of_the_epochs(epochs, drop_at):
    head, clusters = measure_configs(['linear', 'overcluster', 'linear'], epochs=epochs)
    assert head == dict(type='LinearSegmentation', epochs=epochs, drop_at=drop_at, min_steps=0)
    assert clusters == dict(type='OverClustering')


@pytest.mark.parametrize(
    'config, knobs',
    [
        ({}, {}),
        (dict(train_dataloader=None), {}),
        (dict(train_dataloader=dict(dataset=SCENES)), SCENES['scenes']),
        (dict(train_dataloader=dict(dataset=dict(type='SceneImages'))), {}),
        (dict(train_dataloader=dict(dataset=dict(type='ImageDataset', scenes=dict(size=64)))), {}),
    ],
)
def test_only_scenes_have_knobs(config, knobs):
    assert scene_settings(read_spec('scenes'), config) == knobs


def test_scenes_can_be_those_of_a_named_config_or_of_an_export(tmp_path):
    (tmp_path / 'scenes.py').write_text(f'train_dataloader = dict(dataset=dict({SCENES!r}))\n')
    spec = SceneSpec(size=40, objects=(1, 2))
    export(tmp_path / 'exported', spec, dict(train=1, val=1))
    asked, other = dict(train_dataloader=dict(dataset=dict(SCENES, scenes=dict(size=99)))), {}
    for config in (asked, other):
        assert scene_settings(read_spec(f'scenes:{tmp_path / "scenes.py"}'), config) == SCENES['scenes']
        found = scene_settings(read_spec(f'scenes:{tmp_path / "exported"}'), config)
        assert SceneSpec.build(found) == spec
    (tmp_path / 'exported' / 'scenes.json').write_text('{}')
    with pytest.raises(UserError, match='does not hold the settings of scenes'):
        scene_settings(read_spec(f'scenes:{tmp_path / "exported"}'), {})
