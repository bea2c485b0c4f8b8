_base_ = [
    '../_base_/models/densecl_resnet-demo.py',
    '../_base_/datasets/photographs_two_views.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(num_stages=4, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 1), out_indices=(3,)),
    neck=dict(in_channels=512, hid_channels=512),
    queue_length=2048,
)
optim_wrapper = dict(
    type='PrecisionOptimWrapper', precision='bf16', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=4, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=4)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=1))
