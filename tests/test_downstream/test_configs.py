"""Every downstream config builds in a fresh process, and is the protocol that its header names."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mmengine.registry as root
import pytest
import torch
from mmdet.utils import register_all_modules as register_detection
from mmengine.config import ConfigDict
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from mmseg.utils import register_all_modules as register_segmentation

from mmdecouple.datasets.scenes import CLASSES
from mmdecouple.downstream.archs import ARCHS
from mmdecouple.downstream.smoke import SMOKES
from mmdecouple.downstream.strides import check_strides
from mmdecouple.downstream.tasks import TASKS, config_name, task_config
from mmdecouple.utils.configs import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / 'configs' / 'downstream').glob('mm*/*.py'))
# Read as mmdet and mmseg read it: by mmengine alone, without anything of this package imported before.
BUILD = """
import json, logging, sys, tempfile
from types import SimpleNamespace
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
facts = {}
for path in sys.argv[1:]:
    first = Config.fromfile(path)
    with tempfile.NamedTemporaryFile(suffix='.py') as file:
        first.dump(file.name)
        config = Config.fromfile(file.name)
    assert config.to_dict() == first.to_dict(), path
    if 'precision' in config.optim_wrapper:
        config.optim_wrapper.precision = 'fp32'
    with DefaultScope.overwrite_default_scope(config.default_scope):
        with torch.device('meta'):
            model = MODELS.build(config.model)
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
    optimizer, scale = wrapper.optimizer, config.auto_scale_lr
    groups = {id(p): group for group in optimizer.param_groups for p in group['params']}
    norms = [m for m in model.modules() if type(m).__name__ == 'SyncBatchNorm']
    plain = [m for m in model.modules() if type(m).__name__ == 'BatchNorm2d']
    lrs = [group['lr'] for group in optimizer.param_groups]
    quarter = SimpleNamespace(
        _train_dataloader=dict(batch_size=scale.base_batch_size / 4), world_size=1, logger=logging.getLogger(),
        param_schedulers=config.param_scheduler)
    Runner.scale_lr(quarter, wrapper, dict(scale, enable=True))
    facts[path] = dict(
        lrs=[min(lrs), max(lrs)], base=scale.base_batch_size,
        scaled=[group['lr'] / lr for group, lr in zip(optimizer.param_groups, lrs)],
        frozen=sorted({name.split('.')[0] for name, p in model.named_parameters() if not p.requires_grad}),
        trained=sorted({name.split('.')[0] for name, p in model.named_parameters() if p.requires_grad}),
        norm_decay=sorted({groups[id(m.weight)]['weight_decay'] for m in norms}), plain=len(plain),
        norm_eval=any(getattr(m, 'norm_eval', False) for m in model.modules()))
print('FACTS' + json.dumps(facts))
"""


def build(paths):
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, '-c', BUILD, *map(str, paths)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.rpartition('FACTS')[2])


# One of mmdet and one of mmseg; all others take minutes.
@pytest.mark.parametrize(
    'paths',
    [
        [path for path in CONFIGS if path.stem.startswith(('faster', 'linear-last'))],
        pytest.param(CONFIGS, marks=[pytest.mark.slow, pytest.mark.timeout(700)]),
    ],
    ids=['two', 'all'],
)
def test_configs_build_in_a_fresh_process_with_all_norms_trained(paths):
    facts = build(paths)
    assert len(facts) == len(paths) > 1
    for path, found in facts.items():
        linear = 'linear' in path
        assert not found['norm_eval'] and not found['plain'], path
        assert found['frozen'] == (['backbone'] if linear else []), path
        assert not linear or found['trained'] == ['decode_head'], path
        decay = [5e-4] if 'fcn' in path else [1e-4] if 'linear-last' in path else [] if linear else [0.0]
        assert found['norm_decay'] == decay, path
        assert found['scaled'] == [0.25] * len(found['scaled']), path
        assert found['base'] == (32 if 'cascade' in path else 8 if 'cityscapes' in path else 16), path
        if 'cascade' in path or 'upernet' in path:
            rate, decay = (1e-4, 0.8) if 'cascade' in path else (3e-5, 0.9)
            assert found['lrs'] == [pytest.approx(rate * decay**13), rate], path


def test_every_task_has_its_configs_and_no_config_is_without_a_task():
    names = {config_name(task).partition('downstream/')[2] for task in TASKS}
    assert names == {f'{path.parent.name}/{path.name}' for path in CONFIGS}
    assert len({path.name for path in CONFIGS}) == len(CONFIGS)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_header_tells_the_published_numbers_and_that_none_is_ours(path):
    header = re.match(r'(# .*\n)+', path.read_text())[0]
    assert 'Published:' in header and 'Not yet run here.' in header
    assert re.search(r'\d\d\.\d|nothing in this very protocol', header)
    detects = path.parent.name == 'mmdet' and 'pct' not in path.stem
    assert not detects or re.search(r"Anchors are assigned by (detectron2|mmdet)'s rule", header)


@pytest.mark.parametrize('name', ['mmdet/mask-rcnn_r50-c4_90k_coco', 'mmdet/faster-rcnn_r50-c4_24k_voc0712'])
def test_c4_follows_detectron2_where_mmdet_does_not(name):
    config = load_config(f'mmdecouple::downstream/{name}.py')
    model = config.model
    assert model.init_cfg.type == 'mmdecouple.PretrainedBackbone'
    assert model.backbone.init_cfg is None and model.roi_head.shared_head.init_cfg is None
    assert model.backbone.style == model.roi_head.shared_head.style == 'pytorch'
    assert model.data_preprocessor.pad_size_divisor == 1 and model.data_preprocessor.bgr_to_rgb
    assert model.train_cfg.rpn.allowed_border == -1
    assert (model.train_cfg.rpn_proposal.nms_pre, model.test_cfg.rpn.nms_pre) == (12000, 6000)
    assert (model.train_cfg.rpn_proposal.max_per_img, model.test_cfg.rpn.max_per_img) == (2000, 1000)
    hooks = {hook.type: hook for hook in config.custom_hooks}
    assert hooks['mmdecouple.PreciseBNHook'].iterations == 200 and 'mmdecouple.LoadCheckHook' in hooks
    assert config.auto_scale_lr.base_batch_size == 16
    voc = 'voc' in name
    warmup, steps = config.param_scheduler
    iterations, milestones, first = (24000, [18000, 22000], 101) if voc else (90000, [60000, 80000], 1001)
    assert (config.train_cfg.max_iters, steps.milestones, warmup.end) == (iterations, milestones, first)
    assert config.train_cfg.type == 'IterBasedTrainLoop' and not steps.by_epoch


def test_voc_trains_on_difficult_objects_and_scores_ten_thresholds():
    config = load_config('mmdecouple::downstream/mmdet/faster-rcnn_r50-c4_24k_voc0712.py')
    joint = config.train_dataloader.dataset
    assert joint.ignore_keys == ['dataset_type'] and len(joint.datasets) == 2
    for dataset in joint.datasets:
        names = [step.type for step in dataset.pipeline]
        assert names.index('mmdecouple.TrainOnIgnored') == names.index('mmdet.LoadAnnotations') + 1
    assert not any('Ignored' in step.type for step in config.test_dataloader.dataset.pipeline)
    assert config.test_evaluator.type == 'mmdecouple.VOCTenMetric'


def test_vit_tasks_follow_ibot():
    cascade = load_config('mmdecouple::downstream/mmdet/cascade-mask-rcnn_vit-s16_1x_coco.py')
    upernet = load_config('mmdecouple::downstream/mmseg/upernet_vit-s16_160k_ade20k.py')
    assert (cascade.model.backbone.tap_norm, upernet.model.backbone.tap_norm) == ('none', 'shared')
    assert cascade.train_cfg.max_epochs == 12 and cascade.param_scheduler[1].milestones == [8, 11]
    assert cascade.train_dataloader.batch_size * 8 == cascade.auto_scale_lr.base_batch_size == 32
    assert upernet.train_cfg.max_iters == 160000 and upernet.train_dataloader.batch_size * 4 == 16
    assert upernet.model.test_cfg.stride == (341, 341) and upernet.model.decode_head.channels == 384


def rates(name, steps):
    """Factors of the learning rate that a config's schedules give at some iterations."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    optimizer.step()
    config = load_config(f'mmdecouple::downstream/{name}.py')
    schedules = [
        PARAM_SCHEDULERS.build(dict(one, optimizer=optimizer)) for one in config.param_scheduler if not one.by_epoch
    ]
    found = {}
    for step in range(max(steps) + 1):
        if step in steps:
            found[step] = optimizer.param_groups[0]['lr']
        for schedule in schedules:
            schedule.step()
    return [found[step] for step in steps]


def warmed(step, iterations, first):
    return first + (1 - first) * min(step / iterations, 1)


def test_learning_rates_are_those_of_mmcv_1_and_of_detectron2_at_every_iteration():
    steps = [0, 1, 700, 1499, 1500, 1501]
    expected = [warmed(step, 1500, 1e-6) * (1 - step / 160000) for step in steps]
    assert rates('mmseg/upernet_vit-s16_160k_ade20k', steps) == pytest.approx(expected, rel=1e-9)
    assert rates('mmseg/linear-4taps_vit-s16_160k_ade20k', steps) == pytest.approx(expected, rel=1e-9)
    expected = [warmed(step, 1500, 1e-6) * (1 - step / 40000) for step in steps]
    assert rates('mmseg/linear-last_vit-s16_40k_ade20k', steps) == pytest.approx(expected, rel=1e-9)
    for name, last in (('fcn_r50_voc', 20000), ('fcn_r50_40k_cityscapes', 40000)):
        expected = [1e-4 + (1 - 1e-4) * (1 - step / last) ** 0.9 for step in steps]
        assert rates(f'mmseg/{name}', steps) == pytest.approx(expected, rel=1e-9)
    steps = [0, 50, 99, 100, 999, 1000]
    for name, iterations in (
        ('mask-rcnn_r50-fpn_1pct_coco', 1000),
        ('mask-rcnn_r50-c4_90k_coco', 1000),
        ('faster-rcnn_r50-c4_24k_voc0712', 100),
        ('cascade-mask-rcnn_vit-s16_1x_coco', 500),
    ):
        expected = [warmed(step, iterations, 1e-3) for step in steps]
        assert rates(f'mmdet/{name}', steps) == pytest.approx(expected, rel=1e-9), name


@pytest.mark.parametrize('percent, iterations', [(1, 9000), (5, 22500), (10, 45000)])
def test_few_images_have_less_time_with_steps_at_the_same_shares_of_it(percent, iterations):
    config = load_config(f'mmdecouple::downstream/mmdet/mask-rcnn_r50-fpn_{percent}pct_coco.py')
    steps = config.param_scheduler[1]
    assert config.train_cfg.max_iters == steps.end == iterations
    assert steps.milestones == [iterations * 2 // 3, iterations * 8 // 9]
    assert f'{percent}pct' in config.train_dataloader.dataset.ann_file


@pytest.mark.parametrize('name', [task for task in TASKS if 'rcnn' in task or 'pct' in task])
def test_resnet_detectors_give_every_object_an_anchor_and_no_proposal_a_low_quality_match(name):
    train = load_config(config_name(name)).model.train_cfg
    assert train.rpn.assigner == dict(type='mmdecouple.BestAnchorAssigner')
    assert train.rcnn.assigner.match_low_quality is False


_TOP = dict(
    model='MODELS',
    optim_wrapper='OPTIM_WRAPPERS',
    param_scheduler='PARAM_SCHEDULERS',
    custom_hooks='HOOKS',
    default_hooks='HOOKS',
    visualizer='VISUALIZERS',
    log_processor='LOG_PROCESSORS',
)
_SPLIT = dict(dataloader=None, evaluator='METRICS', cfg='LOOPS')
_INNER = dict(
    dataset='DATASETS',
    datasets='DATASETS',
    pipeline='TRANSFORMS',
    transforms='TRANSFORMS',
    sampler='DATA_SAMPLERS',
    batch_sampler='DATA_SAMPLERS',
    optimizer='OPTIMIZERS',
    vis_backends='VISBACKENDS',
)


def classes(node, registry, scope, place):
    """Place -> class of every type of a block, as the registries find it from inside the blocks around it."""
    found = {}
    if isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            found |= classes(item, registry, scope, f'{place}.{index}')
    if not isinstance(node, dict):
        return found
    scope = node.get('_scope_') or scope
    if registry and 'type' in node:
        whole = getattr(root, registry)
        with DefaultScope.overwrite_default_scope(scope), whole.switch_scope_and_registry(scope) as own:
            found[place] = own.get(node['type'])
            if node['type'] in ('RandomResize', 'RandomChoiceResize'):
                found[f'{place}.resize'] = own.get(node.get('resize_type', 'Resize'))
    # Parts of a model have many registries; they are tested by building them.
    for key, value in node.items() if registry != 'MODELS' else ():
        inner = _INNER.get(key) if 'type' in node or not registry else registry
        found |= classes(value, inner, scope, f'{place}.{key}')
    return found


def all_classes(config):
    blocks = _TOP | {f'{split}_{name}': kind for split in ('train', 'val', 'test') for name, kind in _SPLIT.items()}
    return {
        place: kind
        for key, registry in blocks.items()
        for place, kind in classes(config.get(key), registry, config.default_scope, key).items()
    }


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_names_the_same_classes_however_it_is_inherited(path, tmp_path):
    register_detection(init_default_scope=False)
    register_segmentation(init_default_scope=False)
    seen = []
    for base in (str(path), f'mmdecouple::downstream/{path.parent.name}/{path.name}'):
        (tmp_path / 'child.py').write_text(f'_base_ = {base!r}\n')
        config = load_config(str(tmp_path / 'child.py'))
        seen.append(all_classes(config))
    assert [place for one in seen for place, kind in one.items() if kind is None] == [] and len(seen[0]) > 30
    assert seen[0] == seen[1]
    assert seen[0]['train_dataloader.dataset'] is not None
    assert any(place.endswith('.resize') for place in seen[0]) or 'cascade' in path.stem


def test_every_type_is_named_with_its_scope_unless_mmengine_mmcv_or_torch_has_it():
    shared = {
        'AdamW',
        'CosineAnnealingLR',
        'DefaultSampler',
        'InfiniteSampler',
        'IterBasedTrainLoop',
        'LinearLR',
        'LoadImageFromFile',
        'MultiStepLR',
        'OptimWrapper',
        'PolyLR',
        'RandomChoiceResize',
        'RandomResize',
        'SGD',
        'SyncBN',
    }
    names = {
        name
        for path in (ROOT / 'configs' / 'downstream').rglob('*.py')
        for name in re.findall(r"type='([\w.]+)'", path.read_text())
    }
    assert {name for name in names if '.' not in name} == shared
    assert {name.partition('.')[0] for name in names - shared} == {'mmdecouple', 'mmdet', 'mmseg'}


def heads(model):
    roi = model.get('roi_head', {})
    parts = [model.get('decode_head'), model.get('auxiliary_head'), roi.get('bbox_head'), roi.get('mask_head')]
    return [head for part in parts if part for head in (part if isinstance(part, list) else [part])]


@pytest.mark.parametrize(
    'task, smoke',
    [
        *((task, 'overfit') for task in TASKS),
        *((task, smoke) for task in ('coco-cascade-vit', 'voc-faster-rcnn-c4', 'ade-linear-last') for smoke in SMOKES),
    ],
)
def test_a_smoke_run_is_short_tests_few_images_once_and_knows_its_classes(task, smoke):
    config = task_config(task, smoke)
    detects = 'roi_head' in config.model
    assert config.train_cfg.max_iters <= 250 and config.val_cfg is config.val_dataloader is config.val_evaluator is None
    assert smoke == 'overfit' or config.test_dataloader.dataset.indices == 32
    count = (80 if detects else 200) if smoke == 'coco128' else 12 if detects else 13
    assert {head.num_classes for head in heads(config.model)} == {count}
    train, test = (config[f'{split}_dataloader'].dataset for split in ('train', 'test'))
    same = train.data_prefix == test.data_prefix
    assert same == (smoke == 'overfit') and train.type == test.type
    assert [hook.iterations for hook in config.custom_hooks if 'PreciseBN' in hook.type] in ([], [4])
    assert config.auto_scale_lr.base_batch_size == config.train_dataloader.batch_size


@pytest.mark.parametrize(
    'task, arch',
    [
        ('coco-mask-rcnn-c4', 'resnet18'),
        ('coco-mask-rcnn-fpn', 'resnet-demo'),
        ('voc-fcn', 'resnet-demo'),
        ('coco-cascade-vit', 'vit-demo'),
        ('ade-upernet', 'vit-b16'),
        ('ade-linear-4taps', 'vit-ti8'),
        ('ade-linear-last', 'vit-demo'),
    ],
)
def test_every_network_gives_a_model_that_takes_a_step(task, arch):
    register_detection(init_default_scope=False)
    register_segmentation(init_default_scope=False)
    config = task_config(task, 'overfit', arch)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        with torch.device('meta'):
            model = root.MODELS.build(ConfigDict(config.model, init_cfg=None))
        images = torch.empty(2, 3, 128, 128, device='meta')
        check_strides(model)
        maps = model.extract_feat(images)
    fits = ARCHS[arch].architecture
    patch = int(fits.rpartition(' ')[2]) if 'ViT' in fits else None
    widths = {one.shape[1] for one in maps}
    if 'roi_head' in config.model:
        strides = [16] if 'c4' in task else list(ARCHS[arch].strides)
        assert [128 // one.shape[-1] for one in maps] == strides
    elif task.startswith('ade-linear'):
        assert {128 // one.shape[-1] for one in maps} == {patch}
        assert model.decode_head.forward([torch.empty_like(one) for one in maps]).shape[1] == 13
    assert 'ViT' not in fits or 'roi_head' in config.model or widths == {ARCHS[arch].widths[0]}


def test_the_scenes_have_the_classes_of_the_export():
    names = [kind.name for kind in CLASSES]
    for kind, expected in (('detection', names), ('segmentation', ['background', *names])):
        config = load_config(f'mmdecouple::downstream/smoke/scenes_{kind}.py')
        assert list(config.train_dataloader.dataset.metainfo.classes) == expected
