# Two global views of photographs of 128 pixels, as in iBOT. The blur is scaled to the size of the view.
_base_ = './photographs.py'
crop = dict(type='RandomResizedCropView', size=96, scale=(0.25, 1.0), interpolation='bicubic')
colors = [
    dict(type='RandomFlipView', prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
]
first_end = [dict(type='RandomGaussianBlur', sigma=(0.1, 0.9), prob=1.0)]
second_end = [
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.9), prob=0.1),
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
