"""Every shipped config builds, survives dump and reload, and is what its name and header say."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from mmdecouple.masks import PRESETS
from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(p for p in (ROOT / 'configs').glob('[!_]*/*.py'))
NAMES = [path.stem for path in CONFIGS]
BRANCH = re.compile(r'-(d|d-drop|d-gram|control)_')


def build(model: dict) -> torch.nn.Module:
    """A model; a ViT without values, as only names and shapes count here (mmpretrain's ResNet needs them)."""
    with torch.device('meta' if 'ViT' in model['backbone']['type'] else 'cpu'):
        return MODELS.build(model)


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_config_survives_dump_and_reload_and_builds_with_its_optimizer(path, tmp_path):
    config = load_config(str(path))
    config.dump(tmp_path / path.name)
    again = Config.fromfile(tmp_path / path.name)
    assert again.to_dict() == config.to_dict()
    model = build(again.model)
    keys = list(model.state_dict())
    first = 'patch_embed.projection.weight' if '_vit-' in path.stem else 'conv1.weight'
    assert f'backbone.{first}' in keys
    assert (f'teacher.backbone.{first}' in keys) == (not path.stem.startswith(('maskalign', 'unirefiner')))
    assert (model.decoupling is not None) == bool(BRANCH.search(path.stem))
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    with DefaultScope.overwrite_default_scope('mmdecouple'):
        groups = build_optim_wrapper(model, again.optim_wrapper).optimizer.param_groups
    assert {id(p) for group in groups for p in group['params'] if p.requires_grad} == trained
    assert {id(p) for p in model.frozen(0)} <= trained
    assert not model.frozen(again.model.get('frozen_backbone_epochs') or 1)
    assert bool(model.frozen(0)) == (path.stem.startswith('ibot') and '_coco' in path.stem)


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_name_states_schedule_and_batch_and_header_states_the_source(path):
    config = load_config(str(path))
    facts = re.search(r'_(\d+)xb?(\d+)-(\d+)e_', path.stem)
    if facts:
        devices, batch, epochs = map(int, facts.groups())
        assert config.train_dataloader.batch_size == batch
        assert config.train_cfg.max_epochs == epochs
        assert config.param_scheduler[-1].get('end', epochs) == epochs
        if 'auto_scale_lr' in config and '_coco128' not in path.stem:
            assert config.auto_scale_lr.base_batch_size == devices * batch
    assert path.read_text().startswith('# ')


@pytest.mark.parametrize('path', [p for p in CONFIGS if '_vit-' in p.stem], ids=lambda p: p.stem)
def test_the_data_make_the_views_that_the_vit_asks_for(path):
    config = load_config(str(path))
    model, views = config.model, config.train_dataloader.dataset.pipeline[0]
    single = model.type in ('MaskAlign', 'UniRefiner')
    assert sum(views.num_views) == (1 if single else 2 + model.get('local_views', 0))
    # Positions of a published backbone keep their size, and are resized to the views.
    size = views.views[0][0].size
    assert size % model.backbone.patch_size == 0
    assert model.backbone.img_size == size or path.parent.name == 'posttrain'


def test_a_decoupled_config_differs_from_its_base_by_the_branch_alone():
    paths = [p for p in CONFIGS if BRANCH.search(p.stem) and not p.stem.endswith(('_coco128', '_highres'))]
    assert len(paths) >= 18
    for path in paths:
        ours = load_config(str(path)).to_dict()
        base = load_config(str(path.with_name(BRANCH.sub('_', path.name).replace('_release', '')))).to_dict()
        branch, shipped = ours['model'].pop('decoupling'), ours.pop('decoupling')
        if 'soco' in path.stem:
            # RCC on the same proposals takes the place of SoCo's cutout; the demo's views have smaller cells.
            (cutout,) = ours['model']['data_preprocessor'].pop('batch_stages')
            assert base['model']['data_preprocessor'].pop('batch_stages') == [dict(type='CutBoxes')]
            assert ours.pop('batch_stages') == [dict(cutout, mask_stride=16)]
            assert cutout['views'] == (1,) and cutout['on_regions'] and cutout['mask'] == branch['mask']
            cell = 4 if path.parent.name == 'demo' else 16
            assert branch.pop('mask_stride') == cutout['mask_stride'] == cell and shipped.pop('mask_stride') == 16
        if '-control_' in path.stem and 'soco' in path.stem:
            assert branch.pop('background') == 'none' and shipped.pop('background') == 'partner'
        assert branch == shipped
        if 'ibot' in path.stem and '800e' in path.stem:
            # The main rows of iBOT-D also take RCC for masked image modeling.
            assert ours['model'].pop('mim_mask') == dict(type='RegionCollaborativeCutout', **PRESETS['release'])
            ours.pop('mim_mask')
            base['model'].pop('mim_mask')
        if '-gram' in path.stem:
            assert ours['model'].pop('terms') == ours.pop('terms') == [dict(type='GramAnchoring', weight=2.0)]
        if '-drop' in path.stem:
            ours['model'].pop('drop')
        assert ours == base, path


def test_soco_trains_as_the_authors_did():
    config = load_config(str(ROOT / 'configs/soco/soco-c4_r50_8xb128-800e_coco.py'))
    model = build(config.model)
    widths = [[tuple(layer.weight.shape) for layer in (mlp.fc0, mlp.fc1)] for mlp in (model.neck, model.predictor)]
    assert widths == [[(4096, 2048), (256, 4096)], [(4096, 256), (256, 4096)]]
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 2 * 54 + 1 and all(isinstance(m, torch.nn.SyncBatchNorm) for m in norms)
    model.init_weights()
    block = model.backbone.layer3[1]
    assert not block.bn3.weight.any() and torch.equal(model.teacher.neck.fc0.weight, model.neck.fc0.weight)
    assert block.conv2.weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.01)


@pytest.mark.parametrize('name, width', [('clip-l14', 1024), ('dino-b16', 768)])
def test_the_other_teachers_of_maskalign_fit_its_student(name, width):
    model = build(Config.fromfile(ROOT / f'configs/_base_/models/maskalign_vit-s16_{name}.py').model)
    assert model.teacher.backbone.embed_dims == width
    assert model.teacher.backbone.patch_resolution == model.backbone.patch_resolution == (14, 14)


def test_metafiles_name_every_method_config_and_nothing_else():
    named = set()
    for metafile in (ROOT / 'configs').glob('*/metafile.yml'):
        named |= {model['Config'] for model in yaml.safe_load(metafile.read_text())['Models']}
    shipped = {str(p.relative_to(ROOT)) for p in CONFIGS if p.parent.name not in ('demo', 'photographs')}
    assert named == shipped


def test_the_index_lists_every_metafile():
    listed = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert sorted(listed) == sorted(str(p.relative_to(ROOT)) for p in (ROOT / 'configs').glob('*/metafile.yml'))
