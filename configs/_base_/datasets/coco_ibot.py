# Two global views of COCO train2017, as in iBOT, with the augmentations in the order of bytedance/ibot.
_base_ = './coco.py'
crop = dict(type='RandomResizedCropView', size=224, scale=(0.14, 1.0), interpolation='bicubic')
colors = [
    dict(type='RandomFlipView', prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
]
first_end = [dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=1.0)]
second_end = [
    dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=0.1),
    dict(type='RandomSolarize', threshold=128, prob=0.2),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=10,
    dataset=dict(
        pipeline=[
            dict(type='MultiView', views=[[crop, *colors, *first_end], [crop, *colors, *second_end]], num_views=[1, 1]),
            dict(type='PackViews'),
        ]
    ),
)
