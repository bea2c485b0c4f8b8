# Two views of photographs of 128 pixels with the augmentations of MoCo v2, where the blur is scaled to the size of the
# view.
_base_ = './photographs.py'
view = [
    dict(type='RandomResizedCropView', size=96, scale=(0.25, 1.0)),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.9), prob=0.5),
    dict(type='RandomFlipView', prob=0.5),
]
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='MultiView', views=[view], num_views=[2]), dict(type='PackViews')])
)
