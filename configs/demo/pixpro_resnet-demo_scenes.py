# PixPro on the built-in scenes, for two CPU cores: the base row of `make demo ARGS='--method pixpro'`.
_base_ = [
    '../_base_/models/pixpro_resnet-demo.py',
    '../_base_/datasets/scenes_pixpro.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(num_images=1280))
optim_wrapper = dict(
    type='PrecisionOptimWrapper', precision='bf16', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4)
)
param_scheduler = [
    dict(
        type='WarmupCosineLR',
        warmup=1,
        start=0.01,
        eta_min=1e-6,
        warmup_endpoint=False,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(max_epochs=6)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=3))
