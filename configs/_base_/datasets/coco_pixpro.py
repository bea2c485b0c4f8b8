# Two views of COCO train2017 with BYOL's augmentations, as PixPro makes them of ImageNet.
_base_ = './coco.py'
crop = [
    dict(type='RandomResizedCropView', size=224, scale=(0.08, 1.0)),
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
    batch_size=128,
    num_workers=12,
    dataset=dict(
        pipeline=[
            dict(type='MultiView', views=[[*crop, *first_end], [*crop, *second_end]], num_views=[1, 1]),
            dict(type='PackViews'),
        ]
    ),
)
