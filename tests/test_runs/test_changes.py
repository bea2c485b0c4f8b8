"""`--amp` and `--auto-scale-lr` change a config as mmdet's users expect, or say why they cannot."""

import pytest
import torch
from mmengine.config import Config

from mmdecouple.runs.changes import scale_lr, use_amp
from mmdecouple.utils.errors import UserError


def config(**wrapper):
    return Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), **wrapper)))


@pytest.mark.parametrize(
    'wrapper, precision',
    [
        ({}, 'bf16'),
        (dict(type='OptimWrapper'), 'bf16'),
        (dict(type='PrecisionOptimWrapper', precision='fp32'), 'bf16'),
        (dict(type='PrecisionOptimWrapper', precision='fp16'), 'fp16'),
        (dict(type='PrecisionOptimWrapper'), None),
        (dict(type='AmpOptimWrapper'), None),
    ],
)
def test_amp_mixes_what_is_not_mixed_and_keeps_what_is(wrapper, precision):
    made = config(**wrapper)
    use_amp(made, {})
    assert made.optim_wrapper.get('precision') == precision
    assert 'OptimWrapper' in made.optim_wrapper.type and made.optim_wrapper.type != 'OptimWrapper'


def test_amp_is_fp16_on_a_gpu_without_bf16(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation: False)
    made = config()
    use_amp(made, {})
    assert made.optim_wrapper.precision == 'fp16'


@pytest.mark.parametrize(
    'made, options, message',
    [
        (
            config(type='PrecisionOptimWrapper', precision='fp32'),
            {'optim_wrapper.precision': 'fp32'},
            '--amp contradicts --cfg-options optim_wrapper.precision=fp32',
        ),
        (config(type='ApexOptimWrapper'), {}, '--amp cannot be used with ApexOptimWrapper'),
        (Config(dict(model={})), {}, '--amp cannot be used with a config without optimizer'),
    ],
)
def test_amp_refuses_what_it_cannot_change(made, options, message):
    with pytest.raises(UserError, match=message):
        use_amp(made, options)


def test_the_learning_rate_is_scaled_only_from_a_stated_batch():
    made = Config(dict(auto_scale_lr=dict(base_batch_size=256)))
    scale_lr(made, {})
    assert made.auto_scale_lr.enable is True
    with pytest.raises(UserError, match='--auto-scale-lr contradicts --cfg-options auto_scale_lr.enable=False'):
        scale_lr(made, {'auto_scale_lr.enable': False})
    for lacking in ({}, dict(auto_scale_lr=dict(enable=False))):
        with pytest.raises(
            UserError, match='config a.py does not state the batch size .* auto_scale_lr.base_batch_size'
        ):
            scale_lr(Config(lacking, cfg_text='a', filename='a.py'), {})
