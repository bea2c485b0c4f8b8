# Unlabelled COCO train2017 with MoCo v2's augmentations, DenseCL's parameters and order. For a folder of your own:
#   _base_ = 'mmdecouple::densecl/densecl-d_r50_8xb32-200e_coco.py'
#   train_dataloader = dict(dataset=dict(data_root='path/to/images', ann_file=None, img_prefix=''))
view = [
    dict(type='RandomResizedCropView', size=224, scale=(0.2, 1.0)),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
    dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=0.5),
    dict(type='RandomFlipView', prob=0.5),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='EpochSampler', shuffle=True),
    dataset=dict(
        type='ImageDataset',
        data_root='data/coco',
        ann_file='annotations/instances_train2017.json',
        img_prefix='train2017',
        pipeline=[dict(type='MultiView', views=[view], num_views=[2]), dict(type='PackViews')]))

# What `mim test` measures: objects of val2017 against a bank of train2017.
test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ProbeDataset',
        objects=dict(
            type='CocoObjects',
            ann_file='data/coco/annotations/instances_val2017.json',
            img_prefix='data/coco/val2017'),
        bank=dict(
            type='CocoObjects',
            ann_file='data/coco/annotations/instances_train2017.json',
            img_prefix='data/coco/train2017')))
test_evaluator = dict(type='CouplingMetric')
test_cfg = dict()
