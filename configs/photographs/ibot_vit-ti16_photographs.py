_base_ = ['../_base_/models/ibot_vit-demo.py', '../_base_/datasets/photographs_ibot.py', '../_base_/default_runtime.py']
model = dict(backbone=dict(arch='deit-tiny', img_size=96, patch_size=16), neck=dict(out_channels=1024))
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='bf16',
    constructor='DecayGroupsConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.04),
    clip_grad=dict(type='tensor', max_norm=3.0),
)
param_scheduler = [dict(type='WarmupCosineLR', warmup=1, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=4)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=1))
