"""Every downstream config builds in a fresh process, and is the protocol that its header names."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmdecouple.datasets.scenes import CLASSES
from mmdecouple.downstream.tasks import SMOKES, TASKS, config_name
from mmdecouple.utils.configs import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / 'configs' / 'downstream').glob('mm*/*.py'))
PROTOCOLS = [path for path in CONFIGS if not path.stem.endswith(SMOKES)]
TWIN_ENDS = tuple(f'_{smoke}.py' for smoke in SMOKES)
TWINS = [path for path in CONFIGS if path.stem.endswith(SMOKES)]
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
        trained=all(p.requires_grad for p in model.parameters()),
        norm_decay=sorted({groups[id(m.weight)]['weight_decay'] for m in norms}), plain=len(plain),
        norm_eval=any(getattr(m, 'norm_eval', False) for m in model.modules()))
print('FACTS' + json.dumps(facts))
"""


def build(paths):
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, '-c', BUILD, *map(str, paths)], cwd=ROOT, env=env, capture_output=True,
                          text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.rpartition('FACTS')[2])


# One of mmdet and one of mmseg; all others take minutes.
@pytest.mark.parametrize('paths', [
    [path for path in PROTOCOLS if path.stem.startswith(('faster', 'upernet'))],
    pytest.param(CONFIGS, marks=[pytest.mark.slow, pytest.mark.timeout(700)])], ids=['two', 'all'])
def test_configs_build_in_a_fresh_process_with_all_norms_trained(paths):
    facts = build(paths)
    assert len(facts) == len(paths) > 1
    for path, found in facts.items():
        assert found['trained'] and not found['norm_eval'] and not found['plain'], path
        assert found['norm_decay'] == ([5e-4] if 'fcn' in path else [0.]), path
        assert found['scaled'] == [0.25] * len(found['scaled']), path
        assert found['base'] == (2 if path.endswith(TWIN_ENDS) else 32 if 'cascade' in path else 16), path
        if 'cascade' in path or 'upernet' in path:
            rate, decay = (1e-4, 0.8) if 'cascade' in path else (3e-5, 0.9)
            assert found['lrs'] == [pytest.approx(rate * decay**13), rate], path


def test_every_task_has_its_configs_and_no_config_is_without_a_task():
    names = {config_name(task, smoke).partition('downstream/')[2] for task in TASKS for smoke in (None, *SMOKES)}
    assert names == {f'{path.parent.name}/{path.name}' for path in CONFIGS}
    assert len({path.name for path in CONFIGS}) == len(CONFIGS)


@pytest.mark.parametrize('path', PROTOCOLS, ids=lambda path: path.stem)
def test_header_tells_the_published_numbers_and_that_none_is_ours(path):
    header = re.match(r'(# .*\n)+', path.read_text())[0]
    assert 'Published:' in header and 'Not yet run here.' in header and re.search(r'\d\d\.\d', header)


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
    iterations, milestones, first = (24000, [18000, 22000], 100) if voc else (90000, [60000, 80000], 1000)
    assert (config.train_cfg.max_iters, steps.milestones, warmup.end) == (iterations, milestones, first)
    assert config.train_cfg.type == 'IterBasedTrainLoop' and not steps.by_epoch


def test_voc_trains_on_difficult_objects_and_scores_ten_thresholds():
    config = load_config('mmdecouple::downstream/mmdet/faster-rcnn_r50-c4_24k_voc0712.py')
    joint = config.train_dataloader.dataset
    assert joint.ignore_keys == ['dataset_type'] and len(joint.datasets) == 2
    for dataset in joint.datasets:
        names = [step.type for step in dataset.pipeline]
        assert names.index('mmdecouple.TrainOnIgnored') == names.index('LoadAnnotations') + 1
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
    warmup, poly = upernet.param_scheduler
    assert (warmup.start_factor, warmup.end, poly.begin, poly.end, poly.power) == (1e-6, 1500, 1500, 160000, 1.)


def test_the_scenes_have_the_classes_of_the_export():
    names = [kind.name for kind in CLASSES]
    for kind, expected in (('detection', names), ('segmentation', ['background', *names])):
        config = load_config(f'mmdecouple::downstream/_base_/scenes_{kind}.py')
        assert list(config.smoke_train_dataloader.dataset.metainfo.classes) == expected
        for path in TWINS:
            if path.stem.endswith('scenes') and path.parent.name == ('mmdet' if kind == 'detection' else 'mmseg'):
                assert set(re.findall(r'num_classes=(\d+)', path.read_text())) == {str(len(expected))}
