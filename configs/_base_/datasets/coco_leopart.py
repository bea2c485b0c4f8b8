# Two global and four local views of COCO train2017 that overlap with the global ones, as in Leopart, without flips.
_base_ = './coco.py'
colors = [
    dict(type='RandomColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
    dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=0.5),
]
global_crop = dict(type='RandomResizedCropView', size=224, scale=(0.25, 1.0))
local_crop = dict(type='RandomResizedCropView', size=96, scale=(0.05, 0.25))
train_dataloader = dict(
    batch_size=32,
    num_workers=12,
    dataset=dict(
        pipeline=[
            dict(
                type='OverlapViews',
                views=[[global_crop, *colors], [local_crop, *colors]],
                num_views=[2, 4],
                overlap=0.01,
            ),
            dict(type='PackViews'),
        ]
    ),
)
