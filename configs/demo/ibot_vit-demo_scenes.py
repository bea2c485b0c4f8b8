# iBOT on the built-in scenes, for two CPU cores: the base row of `make demo ARGS='--method ibot'`.
_base_ = ['../_base_/models/ibot_vit-demo.py', '../_base_/datasets/scenes_ibot.py', '../_base_/default_runtime.py']
train_dataloader = dict(batch_size=32, dataset=dict(num_images=1280))
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='bf16',
    constructor='DecayGroupsConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.04),
    clip_grad=dict(type='tensor', max_norm=3.0),
)
param_scheduler = [dict(type='WarmupCosineLR', warmup=1, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=6)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=3))
