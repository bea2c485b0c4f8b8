"""The command-line tool, as a user runs it."""
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdecouple.evaluation.suites import probe_config
from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'demo' / 'densecl_resnet-demo_scenes.py'


def measure(*arguments):
    command = [
        sys.executable,
        str(ROOT / 'tools' / 'analysis_tools' / 'measure_coupling.py'), *map(str, arguments)
    ]
    return subprocess.run(command, capture_output=True, text=True)


def test_real_images_are_measured_and_a_manifest_repeats_the_numbers(tmp_path, coco128):
    arguments = (CONFIG, 'none', '--dataset', f'coco:{coco128}', '--size', 64, '--cell', 4,
                 '--limit', 6, '--manifest', tmp_path / 'manifest.json', '--json')
    first = measure(*arguments, tmp_path / 'a.json')
    assert first.returncode == 0, first.stderr
    for word in ('oknn_top1', 'probes ', 'BackgroundLeak: left out'):
        assert word in first.stdout
    second = measure(*arguments, tmp_path / 'b.json', '--batch-size', 5, '--workers', 1)
    assert second.returncode == 0, second.stderr
    a, b = (json.loads((tmp_path / name).read_text()) for name in ('a.json', 'b.json'))
    assert a['dataset'] == f'{coco128.name}-val2017' and a['checkpoint'] is None
    assert a['manifest_sha256'] == b['manifest_sha256']
    for name, entry in a['metrics'].items():
        assert entry['value'] == pytest.approx(b['metrics'][name]['value'], abs=1e-4), name


def test_a_checkpoint_is_measured_and_one_of_another_network_is_refused(tmp_path):
    init_default_scope('mmdecouple')
    model = MODELS.build(load_config(str(CONFIG)).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'good.pth')
    state = {key: value for key, value in model.state_dict().items() if 'layer2.0.conv1' not in key}
    torch.save(dict(state_dict=state), tmp_path / 'bad.pth')
    arguments = ('--dataset', 'scenes', '--measures', 'InterCouplingRatio', '--limit', 2, '--json',
                 tmp_path / 'r.json')
    done = measure(CONFIG, tmp_path / 'good.pth', *arguments)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / 'r.json').read_text())
    assert report['checkpoint'] == str(tmp_path / 'good.pth')
    assert report['metrics']['cr_inter_masked_mean']['count'] == 2
    refused = measure(CONFIG, tmp_path / 'bad.pth', *arguments)
    assert refused.returncode == 1 and 'layer2.0.conv1.weight' in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_words_that_cannot_be_measured_on_are_one_clear_line():
    config = Config(dict(model={}))
    with pytest.raises(ValueError, match='names no ProbeDataset'):
        probe_config(None, config)
    with pytest.raises(ValueError, match="got 'imagenet'"):
        probe_config('imagenet', config)
    with pytest.raises(ValueError, match='--measures: CKA is not among OKNN'):
        probe_config('coco', config, measures=['CKA'])


def test_the_config_of_the_run_says_what_to_measure_on():
    probe = dict(type='ProbeDataset', objects=dict(type='A'), size=64)
    for config in (dict(test_dataloader=dict(dataset=probe)),
                   dict(val_dataloader=dict(dataset=probe)),
                   dict(custom_hooks=[dict(
                       type='X'), dict(type='CouplingHook', probe=probe)])):
        found = probe_config(None, Config(config), seed=3, measures=['OKNN'], limit=5)
        assert found == {
            **probe, 'seed': 3,
            'measures': [dict(type='OKNN', bank_images=5, query_images=5)]
        }
