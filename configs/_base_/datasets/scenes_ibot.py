# Two global views of the built-in scenes, as in iBOT. The blur is scaled to the size of the view, and the hue jitter is
# small because the hue distinguishes the classes.
_base_ = './scenes_64.py'
crop = dict(type='RandomResizedCropView', size=64, scale=(0.3, 1.0), interpolation='bicubic')
colors = [
    dict(type='RandomFlipView', prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.04, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
]
first_end = [dict(type='RandomGaussianBlur', sigma=(0.1, 0.6), prob=1.0)]
second_end = [
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.6), prob=0.1),
    dict(type='RandomSolarize', threshold=128, prob=0.2),
]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='MultiView', views=[[crop, *colors, *first_end], [crop, *colors, *second_end]], num_views=[1, 1]),
            dict(type='PackViews'),
        ]
    )
)
