# DenseCL-D on a few real images in the format of COCO (128 + 128), on a CPU: the example of the docs. The data
# pipeline, recipe and branch are those of the COCO config; the network, queue and schedule are small.
_base_ = ['../densecl/densecl-d_r50_8xb32-200e_coco.py']
root = 'data/coco128'
model = dict(
    backbone=dict(depth=18),
    neck=dict(in_channels=512, hid_channels=512),
    teacher=dict(momentum=0.99, end_momentum=1.0),
    queue_length=1024,
)
train_dataloader = dict(num_workers=1, dataset=dict(data_root=root, ann_file=None, img_prefix='train2017'))
optim_wrapper = dict(optimizer=dict(lr=0.03))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=10, by_epoch=True, begin=0, end=10)]
train_cfg = dict(max_epochs=10)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=5))
auto_scale_lr = dict(base_batch_size=32)
test_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        objects=dict(ann_file=f'{root}/annotations/instances_val2017.json', img_prefix=f'{root}/val2017'),
        bank=dict(ann_file=f'{root}/annotations/instances_train2017.json', img_prefix=f'{root}/train2017'),
    ),
)
