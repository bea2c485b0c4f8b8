# One view of the built-in scenes without augmentation, as in UniRefiner.
_base_ = './scenes_64.py'
view = [dict(type='WholeImageView', size=64, interpolation='bicubic')]
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='MultiView', views=[view], num_views=[1]), dict(type='PackViews')])
)
