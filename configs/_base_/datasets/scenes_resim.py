# Two views of the built-in scenes for ReSim: the image is mirrored once for both views, and the blur precedes the
# color jitter. The blur is scaled to the size of the view.
_base_ = './scenes.py'
view = [
    dict(type='RandomResizedCropView', size=48, scale=(0.3, 1.0)),
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.5), prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.04, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='RandomFlipView', prob=0.5),
            dict(type='MultiView', views=[view], num_views=[2]),
            dict(type='PackViews'),
        ]
    )
)
