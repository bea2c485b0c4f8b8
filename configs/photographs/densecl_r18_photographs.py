# DenseCL on photographs of 128 pixels, for one CPU core: a ResNet-18 whose last stage keeps 16 pixels per position, on
# views of 96 pixels, 6 x 6 positions. One of the base methods of the ablation table `evidence_photographs`; the
# photographs are the images below data/photos.
#   mmdecouple train configs/photographs/densecl_r18_photographs.py
# Other photographs: --cfg-options train_dataloader.dataset.data_root=PATH
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
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(
    type='PrecisionOptimWrapper', precision='bf16', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=4, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=4)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=1))
