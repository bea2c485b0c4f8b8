# MaskAlign on the built-in scenes, for two CPU cores: the base row of `make demo ARGS='--method maskalign'`. The
# teacher is the iBOT of the demo.
_base_ = [
    '../_base_/models/maskalign_vit-demo.py',
    '../_base_/datasets/scenes_maskalign.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='bf16',
    constructor='DecayGroupsConstructor',
    paramwise_cfg=dict(free=['neck.weights']),
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05),
)
param_scheduler = [
    dict(
        type='WarmupCosineLR', warmup=1, eta_min=1e-5, warmup_endpoint=False, by_epoch=True, convert_to_iter_based=True
    )
]
train_cfg = dict(max_epochs=8)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=4))
