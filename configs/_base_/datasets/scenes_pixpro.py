# Two views of the built-in scenes with BYOL's augmentations; the blur is scaled to the view, the hue jitter is small
# because hue tells the classes apart.
_base_ = './scenes.py'
crop = [
    dict(type='RandomResizedCropView', size=48, scale=(0.3, 1.0)),
    dict(type='RandomFlipView', prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.04, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
]
first_end = [dict(type='RandomGaussianBlur', sigma=(0.1, 0.5), prob=1.0)]
second_end = [
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.5), prob=0.1),
    dict(type='RandomSolarize', threshold=128, prob=0.2),
]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='MultiView', views=[[*crop, *first_end], [*crop, *second_end]], num_views=[1, 1]),
            dict(type='PackViews'),
        ]
    )
)
