# PLRC on the built-in scenes, for two CPU cores: the base row of `make demo ARGS='--method plrc'`.
_base_ = ['../_base_/models/plrc_resnet-demo.py', '../_base_/datasets/scenes_plrc.py', '../_base_/default_runtime.py']
optim_wrapper = dict(
    type='PrecisionOptimWrapper', precision='bf16', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=40, end=320),
]
train_cfg = dict(max_epochs=8)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=4))
