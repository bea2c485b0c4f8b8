"""A config that works is never refused."""

import pytest

from mmdecouple.configuration import check_config
from mmdecouple.configuration.arguments import arguments_of
from mmdecouple.utils.configs import configs_folder, load_config
from mmdecouple.utils.errors import UserError

FOLDERS = sorted(path for path in configs_folder().rglob('*') if path.is_dir() and path.name[0] != '_')
SHIPPED = [
    path for folder in FOLDERS for path in sorted(folder.glob('*.py')) if not {'_base_', 'smoke'} & set(path.parts)
]


def accepted(config, options=None):
    try:
        check_config(config, options or {})
    except UserError:
        return False
    return True


@pytest.mark.parametrize('path', SHIPPED, ids=[str(path.relative_to(configs_folder())) for path in SHIPPED])
def test_a_shipped_config_passes_and_with_a_misspelt_key_does_not(path):
    config = load_config(str(path))
    assert accepted(config)
    config.default_hoks = {}
    assert not accepted(config)


@pytest.mark.parametrize(
    'options',
    [
        {'train_dataloader.num_workers': 0, 'train_dataloader.batch_size': 2},
        {'model.decoupling.mask.cut_ratio': 0.5, 'model.decoupling.loss_weight': 0.1},
        {'train_dataloader.dataset.pipeline.0.views.0.0.size': 32},
        {'optim_wrapper.optimizer': dict(type='SGD', lr=0, momentum=0.9, nesterov=True)},
        {'optim_wrapper.clip_grad': dict(max_norm=1.0, norm_type=2)},
        {'optim_wrapper.paramwise_cfg': dict(custom_keys={'backbone': dict(lr_mult=0.1)})},
        {'param_scheduler': None},
        {'param_scheduler': [dict(type='MultiStepLR', milestones=[2, 4], gamma=0.1)]},
        {'custom_hooks': [dict(type='EMAHook', priority=49), dict(type='CouplingHook', interval=2)]},
        {'default_hooks.timer': None, 'default_hooks.checkpoint.interval': -1},
        {'default_hooks.checkpoint.published_keys': ['state_dict']},
        {'compile': True},
        {'compile.mode': 'default'},
        {'work_dir': None, 'load_from': None, 'resume': True},
        {'log_level': 'WARNING', 'experiment_name': 'a', 'find_unused_parameters': True, 'sync_bn': 'torch'},
        {'train_dataloader.prefetch_factor': 4, 'train_dataloader.num_workers': 2},
        {
            'train_dataloader.dataset': dict(
                _delete_=True, type='ConcatDataset', datasets=[dict(type='SceneImages', num_images=4)]
            )
        },
        {'test_evaluator': [dict(type='CouplingMetric')]},
        {'env_cfg.dist_cfg.backend': 'gloo', 'env_cfg.dist_cfg.timeout': 60},
        {'model.backbone.type': 'mmdecouple.models.backbones.DenseViT', 'model.backbone.depth': 18},
    ],
    ids=str,
)
def test_an_override_that_is_read_passes(options):
    config = load_config('mmdecouple::demo/densecl-d_resnet-demo_scenes.py', options)
    if 'model.backbone.type' in options:
        config.model.backbone = dict(type=options['model.backbone.type'])
    assert accepted(config, options)
    assert not accepted(config, {**options, 'nothing.reads_this': 1})


@pytest.mark.parametrize(
    'base',
    [
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
        'mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py',
        'mmpretrain::resnet/resnet50_8xb32_in1k.py',
        'mmpretrain::densecl/densecl_resnet50_8xb32-coslr-200e_in1k.py',
    ],
)
def test_a_config_of_another_package_passes(base, tmp_path):
    pytest.importorskip(base.partition('::')[0])
    (tmp_path / 'child.py').write_text(f'_base_ = {base!r}\nmy_model = 3\ndata_root = "elsewhere"\n')
    config = load_config(str(tmp_path / 'child.py'))
    assert accepted(config)
    config.default_hoks = {}
    assert not accepted(config)


def test_a_class_of_ones_own_may_do_with_its_blocks_what_it_likes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'own_module_of_a_test.py').write_text("""
from torch import nn
from mmdecouple.registry import MODELS

@MODELS.register_module()
class OwnNetOfATest(nn.Module):
    def __init__(self, width, **kwargs):
        super().__init__()
        self.extra = kwargs['anything']
""")
    (tmp_path / 'child.py').write_text("""
_base_ = 'mmdecouple::demo/densecl_resnet-demo_scenes.py'
custom_imports = dict(imports=['own_module_of_a_test'])
model = dict(backbone=dict(_delete_=True, type='OwnNetOfATest', width=3, anything=dict(type='no class', of='mine')))
""")
    config = load_config(str(tmp_path / 'child.py'))
    assert accepted(config)
    with pytest.raises(UserError, match='close: OwnNetOfATest'):
        check_config(load_config(str(tmp_path / 'child.py'), {'model.backbone.type': 'OwnNetOfATst'}))


class Base:
    def __init__(self, first, *, second=None):
        pass


class Passing(Base):
    def __init__(self, third, **kwargs):
        super().__init__(third, **kwargs)


class Reading(Base):
    def __init__(self, third, **kwargs):
        self.fourth = kwargs.pop('fourth')
        super().__init__(third, **kwargs)


def test_arguments_that_are_handed_on_are_those_of_the_base_class():
    assert arguments_of(Base) == ({'first', 'second'}, False)
    assert arguments_of(Passing) == ({'first', 'second', 'third'}, False)
    assert arguments_of(Reading).others
