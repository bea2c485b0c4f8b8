"""The coupling tool, as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmdecouple.commands import coupling
from mmdecouple.evaluation.probes.suites import probe_config
from mmdecouple.networks.network import open_network
from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'demo' / 'densecl_resnet-demo_scenes.py'
QUICK = ('--data', 'scenes', '--measures', 'InterCouplingRatio', '--limit', '2')


def refusal(capsys, *arguments) -> str:
    """The line with which the tool ends."""
    with pytest.raises(SystemExit) as end:
        coupling.main([*map(str, arguments)])
    error = capsys.readouterr().err.strip()
    assert end.value.code == 1 and error.count('\n') == 0, error
    return error


def test_networks_share_one_manifest_and_only_what_changed_is_measured_again(tmp_path, coco128, capsys, monkeypatch):
    arguments = [
        str(CONFIG),
        'timm:test_vit2',
        '--names',
        'ours',
        'theirs',
        '--data',
        f'coco128:{coco128}',
        '--size',
        '48',
        '--cell',
        '4',
        '--limit',
        '3',
        '--out',
        str(tmp_path),
        '--measures',
        'OKNN',
        'InterCouplingRatio',
        'IntraCouplingRatio',
        'BackgroundLeak',
    ]
    coupling.main(arguments)
    printed = capsys.readouterr().out
    for word in (
        'oknn_top1',
        '"ours: probes"',
        '"theirs: probes"',
        'BackgroundLeak: left out',
        'last layer',
        'Δ: difference to ours',
    ):
        assert word in printed
    before = {name: json.loads((tmp_path / f'{name}.json').read_text()) for name in ('ours', 'theirs')}
    assert before['ours']['manifest_sha256'] == before['theirs']['manifest_sha256']
    assert before['ours']['dataset'] == f'{coco128.name}-val2017' and before['ours']['checkpoint'] is None
    assert before['ours']['metrics'] != before['theirs']['metrics']
    changes = before['theirs']['differences']
    assert changes['to'] == 'ours' and 'differences' not in before['ours']
    assert changes['metrics'].keys() == before['ours']['metrics'].keys()
    for key, places in before['theirs']['groups'].items():
        if key in changes['metrics']:
            change = np.subtract(before['theirs']['values'][key], before['ours']['values'][key])
            images = [change[np.array(places) == image] for image in dict.fromkeys(places)]
            found = changes['metrics'][key]
            assert found['value'] == pytest.approx(change.mean(), abs=1e-6), key
            assert (
                min(map(np.min, images)) <= found['low'] <= found['value'] <= found['high'] <= max(map(np.max, images))
            ), key
    for figure in ('cr_inter_curve_mean', 'cr_inter_clean_histogram', 'cr_intra_cell_histogram'):
        assert (tmp_path / f'{figure}.png').is_file()

    monkeypatch.setattr('mmdecouple.visualization.coupling.draw_figures', lambda *_: [])
    coupling.main([*arguments[1::-1], '--names', 'theirs', 'ours', *arguments[5:]])
    assert 'theirs: already measured' in (printed := capsys.readouterr().out) and 'ours: already' in printed
    swapped = {name: json.loads((tmp_path / f'{name}.json').read_text()) for name in ('ours', 'theirs')}
    assert 'differences' not in swapped['theirs']
    for key, entry in swapped['ours']['differences']['metrics'].items():
        assert entry['value'] == pytest.approx(-changes['metrics'][key]['value']), key
    (tmp_path / 'ours.json').unlink()
    coupling.main([*arguments, '--batch-size', '7', '--workers', '1'])
    printed = capsys.readouterr().out
    assert 'theirs: already measured' in printed and '"ours: probes"' in printed
    after = json.loads((tmp_path / 'ours.json').read_text())
    for name, entry in before['ours']['metrics'].items():
        assert after['metrics'][name]['value'] == pytest.approx(entry['value'], abs=1e-4), name

    coupling.main([*arguments, '--role', 'student'])
    printed = capsys.readouterr().out
    assert '"ours: probes"' in printed and 'theirs: already' in printed, 'the student is another network'
    arguments = [*arguments[:1], *arguments[2:3], 'ours', *arguments[5:]]
    coupling.main([*arguments, '--layer', 'layer2'])
    printed, layered = capsys.readouterr().out, json.loads((tmp_path / 'ours.json').read_text())
    assert '"ours: probes"' in printed and ', layer 2 (' in printed and layered['layer'] == 'layer2'
    assert layered['manifest_sha256'] == after['manifest_sha256'] and layered['metrics'] != after['metrics']
    assert 'was drawn with seed 0' in refusal(capsys, *arguments, '--seed', 1, '--manifest', tmp_path / 'draws.json')
    coupling.main([*arguments, '--seed', '1', '--measures', 'OKNN'])
    assert json.loads((tmp_path / 'draws.json').read_text())['seed'] == 1, 'other draws are no obstacle'


def folder_of_photos(path, seed):
    for number in range(4):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (64, 64, 3), np.uint8)
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path / f'{number}.png')
    return path


def test_another_folder_of_the_same_names_and_sizes_is_measured_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmdecouple.visualization.coupling.draw_figures', lambda *_: [])

    def measured(folder, out):
        options = ['--data', f'folder:{folder}', '--size', '64', '--limit', '4', '--out', str(tmp_path / out)]
        coupling.main(['timm:test_vit2', '--names', 'net', '--measures', 'SpuriousShare', *options])
        found = json.loads((tmp_path / out / 'net.json').read_text())
        return found['metrics'], 'already measured' in capsys.readouterr().out

    first, second = (folder_of_photos(tmp_path / name / 'photos', seed) for seed, name in enumerate('ab'))
    assert not measured(first, 'out')[1] and measured(first, 'out')[1]
    found, reused = measured(second, 'out')
    assert not reused and found == measured(second, 'fresh')[0]
    report = json.loads((tmp_path / 'out' / 'net.json').read_text())
    (tmp_path / 'out' / 'net.json').write_text(json.dumps({**report, 'versions': {'spurious_share': 0}}))
    assert not measured(second, 'out')[1], 'another definition of the measure'


def test_names_of_files_are_no_markup(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmdecouple.visualization.coupling.draw_figures', lambda *_: [])
    folder = folder_of_photos(tmp_path / 'data[v2]', 0)
    (folder / '[').mkdir()
    (folder / '[' / 'b].png').write_bytes(b'no image')
    options = [
        '--names',
        'net',
        '--data',
        f'folder:{folder}',
        '--size',
        '64',
        '--limit',
        '4',
        '--out',
        str(tmp_path / 'o'),
    ]
    for layer in ([], ['--layer', 'all']):
        coupling.main(['timm:test_vit2', *options, '--measures', 'SpuriousShare', *layer])
        printed = ''.join(capsys.readouterr().out.split())
        assert '[/b].png' in printed and 'data[v2]' in printed


def test_every_layer_is_measured_in_one_call_and_reused_by_calls_of_one_layer(tmp_path, capsys):
    vit = str(CONFIG.with_name('ibot_vit-demo_scenes.py'))
    arguments = [vit, str(CONFIG), '--names', 'v', 'r', '--data', 'scenes', '--measures', 'ContextShift']
    arguments += ['--limit', '3', '--cell', '32', '--out', str(tmp_path)]
    coupling.main([*arguments, '--layer', 'all'])
    printed = capsys.readouterr().out
    assert printed.count('"v: probes"') == printed.count('"r: probes"') and 'v on scenes-val' in printed
    names = ['v', *(f'v-block{number}' for number in range(1, 5)), 'r', *(f'r-layer{number}' for number in range(1, 4))]
    reports = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob('[vr]*.json')}
    assert sorted(reports) == sorted(names) and (tmp_path / 'depth.png').is_file()
    assert reports['v-block2']['layer'] == '2' and reports['v']['layer'] is None
    assert len({report['metrics']['context_shift']['value'] for report in reports.values()}) >= len(names) - 1
    assert reports['r']['differences']['to'] == 'v' and 'differences' not in reports['r-layer1'], 'v has no layer1'
    coupling.main([vit, '--names', 'v-block2', *arguments[5:], '--layer', '2'])
    assert 'v-block2: already measured' in capsys.readouterr().out
    (tmp_path / 'v-block3.json').unlink()
    (tmp_path / 'v-block4.json').unlink()
    coupling.main([*arguments, '--layer', 'all'])
    printed = capsys.readouterr().out
    assert printed.count('already measured') == len(names) - 2 and '"v-block3: probes"' in printed
    again = json.loads((tmp_path / 'v-block3.json').read_text())
    assert again == reports['v-block3']
    word = 'timm:test_vit2=nowhere.pth'
    assert 'nowhere.pth' in refusal(capsys, word, '--data', 'scenes', '--layer', 'all', '--out', tmp_path)


def test_a_checkpoint_is_measured_and_one_of_another_network_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmdecouple.visualization.coupling.draw_figures', lambda *_: [])
    init_default_scope('mmdecouple')
    model = MODELS.build(load_config(str(CONFIG)).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'good.pth')
    state = {key: value for key, value in model.state_dict().items() if 'layer2.0.conv1' not in key}
    torch.save(dict(state_dict=state), tmp_path / 'bad.pth')
    arguments = (*QUICK, '--names', 'r', '--out', str(tmp_path / 'out'))
    coupling.main([f'{CONFIG}={tmp_path / "good.pth"}', *arguments])
    report = json.loads((tmp_path / 'out' / 'r.json').read_text())
    assert report['checkpoint'] == str(tmp_path / 'good.pth') and report['config'] == str(CONFIG)
    assert report['metrics']['cr_inter_masked_mean']['count'] == 2
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'r.json', 'draws.json'}
    assert 'layer2.0.conv1.weight' in refusal(capsys, f'{CONFIG}={tmp_path / "bad.pth"}', *arguments)


@pytest.mark.parametrize(
    'arguments, line',
    [
        (
            ('timm:test_vit2', '--size', '72'),
            '72 pixels do not divide into the cells of test_vit2-untrained, which are 16 '
            'pixels wide; choose another --size, such as 64',
        ),
        (
            ('timm:test_vit2', '--size', '96', '--cell', '8', '--measures', 'LSC'),
            'LSC would show images of 24 x 24 pixels to test_vit2',
        ),
        (('timm:test_vit2', '--size', '8'), 'do not divide'),
        (('timm:test_vit2', 'timm:test_vit2'), 'Two networks are called test_vit2-untrained'),
        (('timm:test_vit2', 'timm:test_vit', '--names', 'a'), '1 names for 2 networks'),
        (
            ('timm:test_vit2', '--layer', '9'),
            'test_vit2-untrained: the backbone has no layer 9; it has 1, 2, 3, 4, 5, 6',
        ),
        (('timm:test_vit2', '--measures', 'CKA'), '--measures: CKA is not among OKNN'),
        (
            ('timm:test_vit2', '--measures', 'OKNN', '--removal', 'token'),
            '--removal token is a setting of InterCouplingRatio, which is not among the measures',
        ),
        (('timm:test_vit2', '--names', 'draws'), 'A network cannot be called draws'),
        (('timm:test_vit2', '--manifest', 'nope.json'), "manifest 'nope.json' cannot be opened"),
        (('timm:test_vit2', '--data', 'coco-stuff:x'), 'coco-stuff cannot be used here; name one of scenes'),
        (('timm:test_vit2', '--out', CONFIG), f'{CONFIG} is not a folder'),
        (('no/where.pth',), 'no/where.pth: no such file or folder; a network is CHECKPOINT.pth'),
    ],
)
def test_what_cannot_be_measured_is_one_line_before_anything_is_written(tmp_path, capsys, arguments, line):
    assert line in refusal(capsys, '--data', 'scenes', '--out', tmp_path, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('option', [('--limit', '0'), ('--seed', '-1'), ('--batch-size', '0'), ('--workers', '-1')])
def test_a_number_out_of_range_is_refused_by_the_name_of_its_option(tmp_path, capsys, option):
    with pytest.raises(SystemExit) as end:
        coupling.main(['timm:test_vit2', '--out', str(tmp_path / 'out'), *option])
    assert end.value.code == 2 and f'{option[0]}: must be a whole number' in capsys.readouterr().err


def test_words_that_cannot_be_measured_on_are_one_clear_line():
    config = Config(dict(model={}))
    with pytest.raises(ValueError, match='has no ProbeDataset'):
        probe_config(None, config)
    with pytest.raises(ValueError, match='None of the networks has a config'):
        probe_config(None, {})
    with pytest.raises(ValueError, match='does not have the form coco:ROOT'):
        probe_config('coco:a:b', config)
    with pytest.raises(ValueError, match="data 'imagenet' is neither a file or folder nor one of scenes"):
        probe_config('imagenet', config)
    with pytest.raises(ValueError, match='--measures: CKA is not among OKNN'):
        probe_config('coco', config, measures=['CKA'])


def test_the_config_of_the_run_says_what_to_measure_on():
    probe = dict(type='ProbeDataset', objects=dict(type='A'), size=64)
    for config in (
        dict(test_dataloader=dict(dataset=probe)),
        dict(val_dataloader=dict(dataset=probe)),
        dict(custom_hooks=[dict(type='X'), dict(type='CouplingHook', probe=probe)]),
    ):
        found = probe_config(None, Config(config), seed=3, measures=['OKNN'], limit=5)
        assert found == {**probe, 'seed': 3, 'measures': [dict(type='OKNN', bank_images=5, query_images=5)]}


@pytest.mark.parametrize('configured, read', [(4, 8), (16, 16)])
def test_cells_are_no_smaller_than_those_of_the_layer_that_is_read(tmp_path, configured, read):
    config = tmp_path / 'cells.py'
    config.write_text(f'_base_ = {str(CONFIG)!r}\ntest_dataloader = dict(dataset=dict(cell={configured}))\n')
    assert open_network(str(config), layer='layer3').cell == 8
    coupling.main(
        [
            str(config),
            '--layer',
            'layer3',
            '--measures',
            'ContextShift',
            '--limit',
            '2',
            '--names',
            'x',
            '--out',
            str(tmp_path),
        ]
    )
    report = json.loads((tmp_path / 'x.json').read_text())
    assert report['cell'] == read and report['layer'] == 'layer3' and report['measured'] is None
