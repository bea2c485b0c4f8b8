# Two views of COCO train2017 for ReSim: MoCo v2's augmentations, but the image is mirrored once for both views, and the
# blur precedes the color jitter.
_base_ = './coco.py'
view = [
    dict(type='RandomResizedCropView', size=224, scale=(0.2, 1.0)),
    dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    dataset=dict(
        pipeline=[
            dict(type='RandomFlipView', prob=0.5),
            dict(type='MultiView', views=[view], num_views=[2]),
            dict(type='PackViews'),
        ]
    ),
)
