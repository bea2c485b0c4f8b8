# One view of COCO train2017 with crop and flip only, as in MaskAlign.
_base_ = './coco.py'
view = [
    dict(type='RandomResizedCropView', size=224, scale=(0.2, 1.0), interpolation='bicubic'),
    dict(type='RandomFlipView', prob=0.5),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=10,
    dataset=dict(pipeline=[dict(type='MultiView', views=[view], num_views=[1]), dict(type='PackViews')]),
)
