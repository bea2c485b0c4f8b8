"""Every shipped config builds, survives dump and reload, and is what its name and header say."""
import re
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(p for p in (ROOT / 'configs').glob('[!_]*/*.py'))
NAMES = [path.stem for path in CONFIGS]


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_config_survives_dump_and_reload_and_builds(path, tmp_path):
    config = load_config(str(path))
    config.dump(tmp_path / path.name)
    again = Config.fromfile(tmp_path / path.name)
    assert again.to_dict() == config.to_dict()
    model = MODELS.build(again.model)
    keys = list(model.state_dict())
    assert 'backbone.conv1.weight' in keys and 'teacher.backbone.conv1.weight' in keys
    assert (model.decoupling is not None) == ('-d_' in path.stem or '-same_' in path.stem)


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_name_states_schedule_and_batch_and_header_states_the_source(path):
    config = load_config(str(path))
    facts = re.search(r'_(\d+)xb(\d+)-(\d+)e_', path.stem)
    if facts:
        devices, batch, epochs = map(int, facts.groups())
        assert config.train_dataloader.batch_size == batch
        assert config.train_cfg.max_epochs == epochs
        assert config.param_scheduler[-1].end == epochs
        if 'auto_scale_lr' in config and '_coco.py' in path.name:
            assert config.auto_scale_lr.base_batch_size == devices * batch
    assert path.read_text().startswith('# ')


def test_a_decoupled_config_differs_from_its_base_by_the_branch_alone():
    for path in CONFIGS:
        if path.stem.startswith('densecl-d_r50'):
            ours = load_config(str(path)).to_dict()
            base = load_config(str(path).replace('densecl-d', 'densecl')).to_dict()
            assert ours['model'].pop('decoupling') == ours.pop('decoupling')
            assert ours == base


def test_metafiles_name_every_method_config_and_nothing_else():
    named = set()
    for metafile in (ROOT / 'configs').glob('*/metafile.yml'):
        named |= {model['Config'] for model in yaml.safe_load(metafile.read_text())['Models']}
    shipped = {str(p.relative_to(ROOT)) for p in CONFIGS if p.parent.name != 'demo'}
    assert named == shipped
