"""A smoke run differs from its protocol by what follows, and by nothing else."""

import re

import pytest

from mmdecouple.downstream.smoke import SMOKES
from mmdecouple.downstream.tasks import TASKS, task_config

# What a CPU has to do for an image or a region of a detector, wherever it is set.
REGIONS = {'train_cfg.rpn_proposal.max_per_img': 100, 'test_cfg.rpn.max_per_img': 20, 'test_cfg.rcnn.max_per_img': 20}
NARROW = dict.fromkeys(
    (
        'neck.out_channels',
        'rpn_head.in_channels',
        'rpn_head.feat_channels',
        'roi_head.bbox_roi_extractor.out_channels',
        'roi_head.mask_roi_extractor.out_channels',
        'roi_head.bbox_head.in_channels',
        'roi_head.bbox_head.conv_out_channels',
        'roi_head.mask_head.in_channels',
        'roi_head.mask_head.conv_out_channels',
    ),
    64,
) | {'roi_head.bbox_head.fc_out_channels': 128}


def flat(node, place=''):
    """Dotted key -> value of a config, into lists of blocks too."""
    blocks = isinstance(node, (list, tuple)) and any(isinstance(entry, dict) for entry in node)
    if not isinstance(node, dict) and not blocks:
        return {place[1:]: node}
    return {
        key: value
        for name, entry in (enumerate(node) if blocks else node.items())
        for key, value in flat(entry, f'{place}.{name}').items()
    }


def expected(task, smoke):
    overfit, detects = smoke == 'overfit', 'rcnn' in task or 'cascade' in task
    c4, mask = 'c4' in task, task != 'voc-faster-rcnn-c4'
    side, found = 256 if detects and not overfit else 128, {}
    if TASKS[task].network == 'ViT':
        found |= {'backbone.img_size': side, 'backbone.with_cp': False}
    if not detects:
        found |= {'data_preprocessor.size': (128, 128)}
        if task != 'voc-fcn':
            # Windows overlap by a third, as in the protocols.
            found |= {'test_cfg.crop_size': (128, 128), 'test_cfg.stride': (128 * 2 // 3, 128 * 2 // 3)}
        if overfit and not task.startswith('ade-linear'):
            found |= {'decode_head.channels': 64, 'auxiliary_head.channels': 64}
        return found
    found |= REGIONS | {'train_cfg.rcnn.sampler.num': 64 if not overfit else 12 if c4 else 32}
    if overfit and c4:
        # conv5 halves the regions, and the mask head doubles them again.
        found |= {
            'roi_head.bbox_roi_extractor.roi_layer.output_size': 8,
            'roi_head.bbox_head.roi_feat_size': 4,
            'train_cfg.rcnn.mask_size': 8,
            'rpn_head.feat_channels': 64,
        }
        return found | ({'roi_head.mask_head.conv_out_channels': 64} if mask else {})
    return found | (NARROW if overfit else {})


@pytest.mark.parametrize('smoke', SMOKES)
# The tasks with few images have the model of the whole one.
@pytest.mark.parametrize('task', [task for task in TASKS if 'pct' not in task])
def test_a_smoke_run_changes_of_the_model_what_it_says_and_nothing_else(task, smoke):
    before, after = (flat(task_config(task, kind).model.to_dict()) for kind in (None, smoke))
    changed, seen = expected(task, smoke), set()
    assert before.keys() <= after.keys()
    for key, value in after.items():
        # All stages of a cascade change alike.
        name = re.sub(r'\.\d+\b', '', key)
        seen.add(name)
        if not key.endswith('num_classes'):
            assert value == changed.get(name, before.get(key)), key
    assert changed.keys() <= seen


@pytest.mark.parametrize(
    'task, smoke',
    [
        ('coco-mask-rcnn-c4', 'scenes'),
        ('coco-cascade-vit', 'overfit'),
        ('voc-faster-rcnn-c4', 'coco128'),
        ('ade-upernet', 'scenes'),
        ('ade-linear-last', 'overfit'),
        ('voc-fcn', 'overfit'),
    ],
)
def test_a_smoke_run_computes_in_float32_on_the_pictures_of_its_grid_and_scores_what_the_model_gives(task, smoke):
    config = task_config(task, smoke)
    assert config.optim_wrapper.get('precision', 'fp32') == 'fp32'
    sizes = {
        tuple(step[key])
        for step in config.train_dataloader.dataset.pipeline
        for key in ('scale', 'crop_size')
        if key in step and 'ratio_range' not in step
    }
    side = config.model.backbone.get('img_size') or config.model.data_preprocessor.get('size', [256])[0]
    assert sizes == ({(side, side)} if sizes else set())
    if 'roi_head' in config.model:
        assert config.test_evaluator.metric == ['bbox'] + ['segm'] * ('mask_head' in config.model.roi_head)
    if smoke == 'overfit':
        # A linear head on frozen features takes steps ten times as large.
        rate = 0.01 if 'linear' in task else 0.001
        assert config.optim_wrapper.optimizer == dict(type='AdamW', lr=rate, weight_decay=0.01)
