# One view of the built-in scenes with crop and flip only, as in MaskAlign.
_base_ = './scenes_64.py'
view = [
    dict(type='RandomResizedCropView', size=64, scale=(0.3, 1.0), interpolation='bicubic'),
    dict(type='RandomFlipView', prob=0.5),
]
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='MultiView', views=[view], num_views=[1]), dict(type='PackViews')])
)
