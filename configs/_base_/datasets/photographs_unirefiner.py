# One view of photographs without augmentation, as in UniRefiner.
_base_ = './photographs.py'
view = [dict(type='WholeImageView', size=96, interpolation='bicubic')]
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='MultiView', views=[view], num_views=[1]), dict(type='PackViews')])
)
