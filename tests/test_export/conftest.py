"""A small checkpoint of iBOT with its config, as a run saves it."""

import pytest
import torch
from mmengine.config import Config

from mmdecouple.registry import MODELS

ARCH = dict(embed_dims=48, num_layers=2, num_heads=4, feedforward_channels=96)
CONFIG = f"""
model = dict(
    type='IBOT',
    backbone=dict(type='DenseViT', arch={ARCH}, img_size=64, patch_size=16, mask_token=True),
    neck=dict(type='DINOHead', in_channels=48, out_channels=11, hidden_channels=16, bottleneck_channels=8),
    teacher=dict(type='EMATeacher', momentum=0.996, end_momentum=1.0), mim_mask=dict(type='Blockwise'),
    data_preprocessor=dict(type='DensePreprocessor'))
"""


@pytest.fixture(scope='session')
def ibot(tmp_path_factory):
    """Path of the checkpoint; student and teacher differ, and position embeddings are far from zero."""
    torch.manual_seed(0)
    model = MODELS.build(Config.fromstring(CONFIG, '.py').model)
    for name, value in model.state_dict().items():
        if value.is_floating_point() and 'queue' not in name:
            value.normal_(std=0.3)
    path = tmp_path_factory.mktemp('ibot') / 'epoch_3.pth'
    record = dict(images=117_266, seed=5, data='ImageDataset 000000000009.jpg .. 000000581929.jpg', mmdecouple='0.2.0')
    meta = dict(cfg=CONFIG, experiment_name='ibot_small', epoch=3, iter=99, record=record)
    torch.save(dict(meta=meta, state_dict=model.state_dict(), optimizer={}), path)
    return path
